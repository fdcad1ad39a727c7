//! What administrators say, in few words.

use anyhow::Context as _;
use daymark_protocol::control::Submitted;
use daymark_protocol::id::{Digest, KeyId, ResourceId};
use daymark_protocol::resource::{
    BlackoutSpec, HaltSpec, HoldSpec, HostSpec, Kind, OsProfileSpec, OsUpdatePolicySpec,
    ResumeSpec, RetrySpec, ScheduleStatus, ScheduleZone, Scope, SingleScheduleSpec, SiteSpec, Spec,
    Target, TargetOs,
};
use daymark_protocol::trust::{Draft, PublicKey, ResourceDraft};

use crate::administrators::{Administrators, OFFICE, POLICY, RELEASE, STOP, now};
use crate::image::PROFILE;

/// Everyone.
pub fn everyone() -> Target {
    Target { all: true, ..Target::default() }
}

/// Some hosts.
pub fn only(hosts: &[KeyId]) -> Target {
    Target { hosts: hosts.to_vec(), ..Target::default() }
}

/// What is often said. Each returns the entries to hand in.
pub trait Say {
    /// A site.
    fn site(&mut self, name: &str) -> anyhow::Result<Vec<Submitted>>;
    /// A machine of a site.
    fn enroll(&mut self, name: &str, key: &PublicKey, site: &str)
    -> anyhow::Result<Vec<Submitted>>;
    /// An image; also returns what a policy names it by.
    fn release(&mut self, profile: &OsProfileSpec) -> anyhow::Result<(TargetOs, Vec<Submitted>)>;
    /// A policy that wants an image, as a resource.
    fn wants(&mut self, name: &str, os: &TargetOs, target: Target) -> ResourceDraft;
    /// A policy that wants an image.
    fn policy(&mut self, name: &str, os: &TargetOs, to: Target) -> anyhow::Result<Vec<Submitted>>;
    /// A window from `from_s` to `to_s` seconds from now, as a resource.
    fn opens(&mut self, name: &str, from_s: i64, to_s: i64, target: Target) -> ResourceDraft;
    /// A window.
    fn window(&mut self, name: &str, from_s: i64, to_s: i64) -> anyhow::Result<Vec<Submitted>>;
    /// A blackout, as a resource.
    fn closes(&mut self, name: &str, from_s: i64, to_s: i64) -> ResourceDraft;
    /// A halt for everyone; also returns what a resume names it by.
    fn halt(&mut self, name: &str) -> anyhow::Result<(Digest, Vec<Submitted>)>;
    /// Lifts halts.
    fn resume(&mut self, name: &str, halts: &[Digest]) -> anyhow::Result<Vec<Submitted>>;
    /// Holds everyone.
    fn hold(&mut self, name: &str) -> anyhow::Result<Vec<Submitted>>;
    /// Lets an image be tried again.
    fn retry(
        &mut self,
        name: &str,
        host: KeyId,
        profile: Digest,
        attempt: u64,
    ) -> anyhow::Result<Vec<Submitted>>;
    /// Ends a resource that the policy keys said.
    fn end(&mut self, kind: Kind, name: &str) -> anyhow::Result<Vec<Submitted>>;
    /// One resource under the policy keys.
    fn policy_says(&mut self, resource: ResourceDraft) -> anyhow::Result<Vec<Submitted>>;
}

impl Say for Administrators {
    fn site(&mut self, name: &str) -> anyhow::Result<Vec<Submitted>> {
        let spec = Spec::Site(SiteSpec {
            name: name.into(),
            zone: Some("UTC".into()),
            ..SiteSpec::default()
        });
        let resource = self.resource(name, &spec, None);
        self.policy_says(resource)
    }

    fn enroll(
        &mut self,
        name: &str,
        key: &PublicKey,
        site: &str,
    ) -> anyhow::Result<Vec<Submitted>> {
        let spec = Spec::Host(HostSpec {
            name: name.to_owned(),
            public_key: key.to_string(),
            ..HostSpec::default()
        });
        let site = self.id(Kind::Site, site);
        let id = ResourceId::from(key.id());
        let version = self.next_version(Kind::Host, &id);
        let draft = Draft::new(self.fleet(), Scope::Site(site.clone()), now())
            .resource(ResourceDraft::new(id, version, &spec).site(Some(site)));
        Ok(self.say(&draft, &OFFICE)?.1)
    }

    fn release(&mut self, profile: &OsProfileSpec) -> anyhow::Result<(TargetOs, Vec<Submitted>)> {
        let name = format!("{PROFILE}@{}", profile.os_image_version);
        let resource = self.resource(&name, &Spec::OsProfile(Box::new(profile.clone())), None);
        let (statement, items) = self.say(&self.draft().resource(resource), &RELEASE)?;
        let said = statement.payload().resources.first().context("no resource")?;
        let os = TargetOs {
            profile: profile.profile_name.clone(),
            version: profile.os_image_version.clone(),
            digest: said.digest(),
        };
        Ok((os, items))
    }

    fn wants(&mut self, name: &str, os: &TargetOs, target: Target) -> ResourceDraft {
        self.resource(name, &Spec::OsUpdatePolicy(Box::new(wanting(name, os))), Some(target))
    }

    fn policy(&mut self, name: &str, os: &TargetOs, to: Target) -> anyhow::Result<Vec<Submitted>> {
        let resource = self.wants(name, os, to);
        self.policy_says(resource)
    }

    fn opens(&mut self, name: &str, from_s: i64, to_s: i64, target: Target) -> ResourceDraft {
        let now_s = now().as_seconds();
        let spec = Spec::SingleSchedule(SingleScheduleSpec {
            name: name.to_owned(),
            schedule_status: ScheduleStatus::OsUpdate,
            start_seconds: now_s + from_s,
            end_seconds: Some(now_s + to_s),
        });
        self.resource(name, &spec, Some(target))
    }

    fn window(&mut self, name: &str, from_s: i64, to_s: i64) -> anyhow::Result<Vec<Submitted>> {
        let resource = self.opens(name, from_s, to_s, everyone());
        self.policy_says(resource)
    }

    fn closes(&mut self, name: &str, from_s: i64, to_s: i64) -> ResourceDraft {
        let spec = Spec::Blackout(BlackoutSpec {
            name: name.to_owned(),
            from: now().plus_ms(from_s * 1000),
            to: now().plus_ms(to_s * 1000),
            yearly: false,
            zone: ScheduleZone::Utc,
        });
        self.resource(name, &spec, Some(everyone()))
    }

    fn halt(&mut self, name: &str) -> anyhow::Result<(Digest, Vec<Submitted>)> {
        let spec = Spec::Halt(HaltSpec { name: name.to_owned(), policy: None });
        let resource = self.resource(name, &spec, Some(everyone()));
        let (statement, items) = self.say(&self.draft().resource(resource), &STOP)?;
        Ok((statement.digest(), items))
    }

    fn resume(&mut self, name: &str, halts: &[Digest]) -> anyhow::Result<Vec<Submitted>> {
        let spec = Spec::Resume(ResumeSpec { name: name.to_owned(), halts: halts.to_vec() });
        let resource = self.resource(name, &spec, None);
        self.policy_says(resource)
    }

    fn hold(&mut self, name: &str) -> anyhow::Result<Vec<Submitted>> {
        let spec = Spec::Hold(HoldSpec { name: name.to_owned() });
        let resource = self.resource(name, &spec, Some(everyone()));
        self.policy_says(resource)
    }

    fn retry(
        &mut self,
        name: &str,
        host: KeyId,
        profile: Digest,
        attempt: u64,
    ) -> anyhow::Result<Vec<Submitted>> {
        let spec = Spec::Retry(RetrySpec { name: name.to_owned(), profile, attempt });
        let resource = self.resource(name, &spec, Some(only(&[host])));
        self.policy_says(resource)
    }

    fn end(&mut self, kind: Kind, name: &str) -> anyhow::Result<Vec<Submitted>> {
        let resource = self.tombstone(kind, name, Some(everyone()));
        self.policy_says(resource)
    }

    fn policy_says(&mut self, resource: ResourceDraft) -> anyhow::Result<Vec<Submitted>> {
        Ok(self.say(&self.draft().resource(resource), &POLICY)?.1)
    }
}

/// A policy for an image, whose spread is nothing: tests wait for everyone's turn.
pub fn wanting(name: &str, os: &TargetOs) -> OsUpdatePolicySpec {
    OsUpdatePolicySpec { spread_seconds: Some(0), ..OsUpdatePolicySpec::target(name, os.clone()) }
}
