//! A host's document: its size as reports and as a saved Automerge file, and the time to fold and to
//! export it. Automerge loading its own file is measured beside the fold, which replaces that.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use daymark_bench::{Enrolled, figure};
use daymark_protocol::document::DocumentId;

fn bench(c: &mut Criterion) {
    let enrolled = Enrolled::new(1);
    let entries: Vec<&[u8]> = enrolled.entries.iter().map(Vec::as_slice).collect();
    let mut empty = enrolled.replica();
    drop(empty.accept_entries(&entries));
    let host = &enrolled.hosts[0];
    let id = host.public().id();
    for count in [1, 20, 60] {
        let reports = enrolled.reports(host, count);
        let slices: Vec<&[u8]> = reports.iter().map(Vec::as_slice).collect();
        let mut replica = empty.clone();
        drop(replica.accept_reports(&slices));
        let document = DocumentId::Host(id);
        let saved = replica.export(&document).expect("the document is built").saved;
        let bytes: usize = reports.iter().map(Vec::len).sum();
        figure(
            &format!("host document of {count} reports"),
            &format!("{} B saved", saved.len()),
            &format!("{bytes} B as signed reports"),
        );
        c.bench_function(&format!("host document/fold {count} reports"), |b| {
            b.iter_batched(
                || empty.clone(),
                |mut replica| drop(replica.accept_reports(black_box(&slices))),
                BatchSize::SmallInput,
            );
        });
        c.bench_function(&format!("host document/export {count} reports"), |b| {
            b.iter(|| replica.export(black_box(&document)));
        });
        c.bench_function(&format!("host document/automerge loads {count} reports"), |b| {
            b.iter(|| automerge::AutoCommit::load(black_box(&saved)).expect("it opens"));
        });
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
