//! What a host's facts mean: writing them on the owning host and reading them anywhere. Reading is
//! lenient, since a newer or hostile host may say anything: what does not parse is not there.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::decide::{Decision, Gate, GateAnswer, Installed};
use crate::document::fact::{FactPath, Facts, Value};
use crate::document::host_paths as paths;
use crate::id::{Digest, KeyId};
use crate::limits;
use crate::time::WallTime;

/// Longest JSON text of the decision's summary, of one gate, of the machine or of its quarantine:
/// several must fit one report.
const JSON_BYTES_MAX: usize = 2048;

/// EIM's update status of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateStatus {
    /// Status text.
    pub status: String,
    /// Status indicator.
    pub indicator: String,
    /// Since when.
    pub time: Option<WallTime>,
    /// What is available.
    pub available: Option<String>,
}

/// Where an image's bytes came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageBytes {
    /// Bytes of the image.
    pub total: u64,
    /// Bytes verified in the slot.
    pub verified: u64,
    /// Bytes copied from the machine's own slots.
    pub own: u64,
    /// Bytes from the release service.
    pub origin: u64,
    /// Bytes from peers.
    pub peers: u64,
}

/// An OsUpdateRun: the record of one attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateRun {
    /// Its name; one run per name.
    pub name: String,
    /// EIM's status.
    pub status: String,
    /// Version that ran before.
    pub from: Option<String>,
    /// Version that it installs.
    pub to: Option<String>,
    /// Id of the policy that asked for it.
    pub policy: Option<String>,
    /// Number of the attempt.
    pub attempt: Option<u64>,
    /// When it began.
    pub start: Option<WallTime>,
    /// When it ended; `None` while it runs.
    pub end: Option<WallTime>,
    /// Detail for people, cut to [`limits::RUN_DETAIL_BYTES_MAX`].
    pub detail: String,
    /// Where the bytes came from.
    pub bytes: ImageBytes,
    /// Chunks that failed verification, by the peer that sent them; of the peers at most
    /// [`limits::RUN_BLAMED_MAX`], those that sent most.
    pub blamed: BTreeMap<KeyId, u64>,
}

impl Facts {
    /// Sets text at a path; a path out of bounds is left out, an empty text is an absent one.
    pub fn set_text(&mut self, path: &[&str], text: &str) {
        self.set(path, (!text.is_empty()).then(|| Value::Text(text.to_owned())));
    }

    /// Sets an integer at a path; a path out of bounds is left out.
    pub fn set_integer(&mut self, path: &[&str], number: i64) {
        self.set(path, Some(Value::Integer(number)));
    }

    fn set(&mut self, path: &[&str], value: Option<Value>) {
        if let Ok(path) = FactPath::new(path.iter().copied()) {
            match value {
                Some(value) => self.put(path, value),
                None => {
                    self.remove(&path);
                }
            }
        }
    }

    /// The text at a path.
    pub fn text(&self, path: &[&str]) -> Option<&str> {
        match self.get(&FactPath::new(path.iter().copied()).ok()?)? {
            Value::Text(text) => Some(text),
            Value::Integer(_) => None,
        }
    }

    /// The integer at a path.
    pub fn integer(&self, path: &[&str]) -> Option<i64> {
        match self.get(&FactPath::new(path.iter().copied()).ok()?)? {
            Value::Integer(number) => Some(*number),
            Value::Text(_) => None,
        }
    }

    /// The texts directly below a name, such as [`paths::FACTS`] or [`paths::PEERS`].
    pub fn texts_below(&self, name: &str) -> Vec<(String, String)> {
        let above = [name.to_owned()];
        let mut texts = Vec::new();
        for (rest, value) in self.below(&above) {
            if let ([name], Value::Text(text)) = (rest, value) {
                texts.push((name.clone(), text.clone()));
            }
        }
        texts
    }

    /// Sets what is installed.
    pub fn set_installed(&mut self, installed: &Installed) {
        let at = |name| [paths::INSTALLED, name];
        let hex = |digest: Option<Digest>| digest.map_or_else(String::new, |d| d.to_string());
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        self.set_text(&at(paths::INSTALLED_PROFILE), &text(&installed.profile));
        self.set_text(&at(paths::INSTALLED_VERSION), &text(&installed.version));
        self.set_text(&at(paths::INSTALLED_INDEX), &hex(installed.index_digest));
        self.set_text(&at(paths::INSTALLED_SHA256), &hex(installed.image_sha256));
        if let Ok(serde_json::Value::String(source)) = serde_json::to_value(installed.source) {
            self.set_text(&at(paths::INSTALLED_SOURCE), &source);
        }
    }

    /// What is installed; `None` if the host does not say who says so.
    pub fn installed(&self) -> Option<Installed> {
        let text = |name| self.text(&[paths::INSTALLED, name]);
        let source = serde_json::Value::String(text(paths::INSTALLED_SOURCE)?.to_owned());
        Some(Installed {
            profile: text(paths::INSTALLED_PROFILE).map(str::to_owned),
            version: text(paths::INSTALLED_VERSION).map(str::to_owned),
            index_digest: text(paths::INSTALLED_INDEX).and_then(|hex| hex.parse().ok()),
            image_sha256: text(paths::INSTALLED_SHA256).and_then(|hex| hex.parse().ok()),
            source: serde_json::from_value(source).ok()?,
        })
    }

    /// Sets the update status.
    pub fn set_update_status(&mut self, update: &UpdateStatus) {
        let at = |name| [paths::UPDATE, name];
        self.set_text(&at(paths::UPDATE_STATUS), &update.status);
        self.set_text(&at(paths::UPDATE_INDICATOR), &update.indicator);
        let time = update.time.map(|time| Value::Integer(time.as_ms()));
        self.set(&at(paths::UPDATE_TIME), time);
        self.set_text(&at(paths::UPDATE_AVAILABLE), update.available.as_deref().unwrap_or(""));
    }

    /// The update status.
    pub fn update_status(&self) -> Option<UpdateStatus> {
        let text = |name| self.text(&[paths::UPDATE, name]).map(str::to_owned);
        Some(UpdateStatus {
            status: text(paths::UPDATE_STATUS)?,
            indicator: text(paths::UPDATE_INDICATOR).unwrap_or_default(),
            time: self.integer(&[paths::UPDATE, paths::UPDATE_TIME]).map(WallTime::from_ms),
            available: text(paths::UPDATE_AVAILABLE),
        })
    }

    /// Sets or clears the progress of staging.
    pub fn set_progress(&mut self, progress: Option<&ImageBytes>) {
        match progress {
            Some(bytes) => self.set_image_bytes(&[paths::PROGRESS], bytes),
            None => self.set(&[paths::PROGRESS], None),
        }
    }

    /// The progress of staging, while it runs.
    pub fn progress(&self) -> Option<ImageBytes> {
        self.below(&[paths::PROGRESS.to_owned()]).next()?;
        Some(self.image_bytes(&[paths::PROGRESS]))
    }

    fn set_image_bytes(&mut self, at: &[&str], bytes: &ImageBytes) {
        for (name, count) in [
            (paths::BYTES_TOTAL, bytes.total),
            (paths::BYTES_VERIFIED, bytes.verified),
            (paths::BYTES_OWN, bytes.own),
            (paths::BYTES_ORIGIN, bytes.origin),
            (paths::BYTES_PEERS, bytes.peers),
        ] {
            let count =
                (count > 0).then(|| Value::Integer(i64::try_from(count).unwrap_or(i64::MAX)));
            self.set(&[at, &[name]].concat(), count);
        }
    }

    fn image_bytes(&self, at: &[&str]) -> ImageBytes {
        let count = |name| {
            let number = self.integer(&[at, &[name]].concat()).unwrap_or(0);
            u64::try_from(number).unwrap_or(0)
        };
        ImageBytes {
            total: count(paths::BYTES_TOTAL),
            verified: count(paths::BYTES_VERIFIED),
            own: count(paths::BYTES_OWN),
            origin: count(paths::BYTES_ORIGIN),
            peers: count(paths::BYTES_PEERS),
        }
    }

    /// Sets a run's record.
    pub fn set_run(&mut self, run: &UpdateRun) {
        let name = run.name.as_str();
        let at = |field| [paths::RUNS, name, field];
        self.set_text(&at(paths::RUN_STATUS), &run.status);
        self.set_text(&at(paths::RUN_FROM), run.from.as_deref().unwrap_or(""));
        self.set_text(&at(paths::RUN_TO), run.to.as_deref().unwrap_or(""));
        self.set_text(&at(paths::RUN_POLICY), run.policy.as_deref().unwrap_or(""));
        let detail_bytes = run.detail.floor_char_boundary(limits::RUN_DETAIL_BYTES_MAX);
        self.set_text(&at(paths::RUN_DETAIL), &run.detail[..detail_bytes]);
        let integer = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
        self.set(&at(paths::RUN_ATTEMPT), run.attempt.map(integer));
        self.set(&at(paths::RUN_START), run.start.map(|time| Value::Integer(time.as_ms())));
        self.set(&at(paths::RUN_END), run.end.map(|time| Value::Integer(time.as_ms())));
        self.set_image_bytes(&[paths::RUNS, name], &run.bytes);
        self.set_text(&at(paths::RUN_BLAMED), &blamed_text(&run.blamed));
    }

    /// The record of the run of this name.
    pub fn run(&self, name: &str) -> Option<UpdateRun> {
        let text = |field| self.text(&[paths::RUNS, name, field]).map(str::to_owned);
        let time = |field| self.integer(&[paths::RUNS, name, field]).map(WallTime::from_ms);
        Some(UpdateRun {
            name: name.to_owned(),
            status: text(paths::RUN_STATUS)?,
            from: text(paths::RUN_FROM),
            to: text(paths::RUN_TO),
            policy: text(paths::RUN_POLICY),
            attempt: self
                .integer(&[paths::RUNS, name, paths::RUN_ATTEMPT])
                .and_then(|number| u64::try_from(number).ok()),
            start: time(paths::RUN_START),
            end: time(paths::RUN_END),
            detail: text(paths::RUN_DETAIL).unwrap_or_default(),
            bytes: self.image_bytes(&[paths::RUNS, name]),
            blamed: text(paths::RUN_BLAMED).map(|text| blamed_in(&text)).unwrap_or_default(),
        })
    }

    /// All runs, newest first.
    pub fn runs(&self) -> Vec<UpdateRun> {
        let above = [paths::RUNS.to_owned()];
        let mut names: Vec<&str> =
            self.below(&above).filter_map(|(rest, _)| rest.first()).map(String::as_str).collect();
        names.dedup();
        let mut runs: Vec<UpdateRun> =
            names.into_iter().filter_map(|name| self.run(name)).collect();
        runs.sort_by(|a, b| (b.start, &b.name).cmp(&(a.start, &a.name)));
        runs
    }

    /// Keeps this many runs, the newest (RULES D5).
    pub(crate) fn keep_newest_runs(&mut self, count: usize) {
        for run in self.runs().into_iter().skip(count) {
            self.set(&[paths::RUNS, &run.name], None);
        }
    }

    /// Sets the decision. A gate whose answer is too long loses its evidence.
    pub fn set_decision(&mut self, decision: &Decision) {
        self.set(&[paths::DECISION], None);
        let summary = Decision { gates: Vec::new(), ..decision.clone() };
        if let Some(json) = short_json(&summary) {
            self.set_text(&[paths::DECISION, paths::DECISION_SUMMARY], &json);
        }
        for answer in &decision.gates {
            let bare = GateAnswer { evidence: Vec::new(), ..answer.clone() };
            let Ok(serde_json::Value::String(gate)) = serde_json::to_value(answer.gate) else {
                continue;
            };
            // The clock's evidence is the time itself: nothing periodic goes into a document.
            let told = if answer.gate == Gate::Clock { &bare } else { answer };
            if let Some(json) = short_json(told).or_else(|| short_json(&bare)) {
                self.set_text(&[paths::DECISION, paths::DECISION_GATES, &gate], &json);
            }
        }
    }

    /// The decision, gates in evidence order; those that this version does not know are left out.
    pub fn decision(&self) -> Option<Decision> {
        let summary = self.text(&[paths::DECISION, paths::DECISION_SUMMARY])?;
        let mut decision: Decision = serde_json::from_str(summary).ok()?;
        let above = [paths::DECISION.to_owned(), paths::DECISION_GATES.to_owned()];
        decision.gates = self
            .below(&above)
            .filter_map(|(_, value)| match value {
                Value::Text(json) => serde_json::from_str::<GateAnswer>(json).ok(),
                Value::Integer(_) => None,
            })
            .collect();
        decision.gates.sort_by_key(|answer| answer.gate);
        Some(decision)
    }

    /// The digest of the blob of the generation before (RULES D5).
    pub fn closed_generation(&self) -> Option<Digest> {
        self.text(&[paths::HISTORY, paths::HISTORY_CLOSED])?.parse().ok()
    }

    pub(crate) fn set_closed_generation(&mut self, digest: Option<Digest>) {
        let text = digest.map(|digest| Value::Text(digest.to_string()));
        self.set(&[paths::HISTORY, paths::HISTORY_CLOSED], text);
    }
}

fn blamed_text(blamed: &BTreeMap<KeyId, u64>) -> String {
    let mut most: Vec<(&KeyId, u64)> =
        blamed.iter().map(|(peer, chunks)| (peer, *chunks)).collect();
    most.sort_by_key(|(_, chunks)| Reverse(*chunks));
    let most = most.into_iter().take(limits::RUN_BLAMED_MAX);
    let most: Vec<String> = most.map(|(peer, chunks)| format!("{peer}={chunks}")).collect();
    most.join(" ")
}

fn blamed_in(text: &str) -> BTreeMap<KeyId, u64> {
    let pairs = text.split(' ').filter_map(|pair| {
        let (peer, chunks) = pair.split_once('=')?;
        Some((peer.parse().ok()?, chunks.parse().ok()?))
    });
    pairs.take(limits::RUN_BLAMED_MAX).collect()
}

/// The JSON text of what must fit a report beside others; `None` if it is too long.
pub(super) fn short_json<T: serde::Serialize>(value: &T) -> Option<String> {
    serde_json::to_string(value).ok().filter(|json| json.len() <= JSON_BYTES_MAX)
}
