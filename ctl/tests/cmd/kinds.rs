//! Q10: a policy whose kind does not fit the OS of those it reaches is refused before it is signed.

use daymark_protocol::decide::{Activity, Installed, InstalledSource, Machine, PlatformKind};
use daymark_protocol::resource::OsType;

use crate::{Admin, text};

/// A machine that runs edge 1.0.0.
pub(crate) fn machine(os_type: OsType) -> Machine {
    Machine {
        os_type,
        platform: PlatformKind::Slots,
        architecture: "x86_64".into(),
        installed: Some(Installed {
            profile: Some("edge".into()),
            version: Some("1.0.0".into()),
            index_digest: None,
            image_sha256: None,
            source: InstalledSource::OsRelease,
        }),
        staged: None,
        quarantine: Vec::new(),
        inhibitors: Vec::new(),
        other_updaters: Vec::new(),
        activation_ms: None,
        activity: Activity::Idle,
        slot_busy: None,
    }
}

const PACKAGES: &str = "spec:\n  name: tools\n  updatePolicy: UPDATE_POLICY_TARGET\n  \
                        updatePackages: curl\n";
#[test]
fn q10_packages_for_an_immutable_os_are_refused_in_a_sentence() {
    let admin = Admin::with_fleet();
    admin.enroll("press-01", 1, &[]);
    admin.enroll("press-02", 2, &[]);
    admin.reports(1, &machine(OsType::Immutable));
    let packages = admin.file("packages.yaml", PACKAGES);
    let apply = ["apply", "-f", text(&packages), "--all", "--yes"];
    admin.refused(&apply, 4, &["policy \"tools\" fits no host", "press-01", "takes an image"]);
    let dry = [&apply[..], &["--dry-run"]].concat();
    admin.refused(&dry, 4, &["policy \"tools\" fits no host"]);
    // With a machine that it fits among them it is shown who is left out, and signed.
    admin.reports(2, &machine(OsType::Mutable));
    let said = admin.run(&apply).ends(0).out;
    let of = |host: &str| {
        said.lines().find(|line| line.trim_start().starts_with(host)).unwrap_or_default()
    };
    assert!(of("press-01").contains("does not fit the kind"), "{said}");
    assert!(!of("press-02").contains("does not fit the kind"), "{said}");
}

#[test]
fn q10_an_image_for_an_os_of_packages_is_refused_in_a_sentence() {
    let admin = Admin::with_fleet();
    admin.enroll("press-01", 1, &[]);
    admin.reports(1, &machine(OsType::Mutable));
    let image = admin.file("edge.raw", [7; 100_000]);
    let profile = admin.file(
        "p.yaml",
        "appVersion: apps/v1\nspec:\n  name: Edge\n  type: OS_TYPE_IMMUTABLE\n  provider: \
         OS_PROVIDER_KIND_INFRA\n  architecture: x86_64\n  profileName: edge\n  \
         osImageVersion: 1.0.1\n",
    );
    let to = admin.folder("release");
    let add = ["release", "add", text(&image), "--profile", text(&profile), "--to", text(&to)];
    admin.run(&[&add[..], &["--yes"]].concat()).ends(0);
    let target = admin.file(
        "target.yaml",
        "spec: {name: new, updatePolicy: UPDATE_POLICY_TARGET, targetOs: edge@1.0.1}",
    );
    let apply = ["apply", "-f", text(&target), "--all", "--yes"];
    admin.refused(
        &apply,
        4,
        &["policy \"new\" fits no host", "press-01", "a mutable one packages"],
    );
}

#[test]
fn an_image_is_not_published_under_a_profile_of_packages() {
    let admin = Admin::with_fleet();
    let image = admin.file("edge.raw", [7; 100_000]);
    let profile = admin.file(
        "p.yaml",
        "appVersion: apps/v1\nspec:\n  name: Edge\n  type: OS_TYPE_MUTABLE\n  provider: \
         OS_PROVIDER_KIND_INFRA\n  architecture: x86_64\n  profileName: edge\n  \
         osImageVersion: 1.0.1\n",
    );
    let to = admin.folder("release");
    let add = ["release", "add", text(&image), "--profile", text(&profile), "--to", text(&to)];
    admin.refused(&[&add[..], &["--yes"]].concat(), 2, &["edge", "mutable", "OS_TYPE_IMMUTABLE"]);
    assert!(crate::files(&to).is_empty());
}
