//! What operators sign to have machines updated, or not.

use daymark_core::event::Carried;
use daymark_protocol::id::{Digest, ResourceId};
use daymark_protocol::resource::{
    BlackoutSpec, HaltSpec, Kind, OsUpdatePolicySpec, RepeatedScheduleSpec, ResumeSpec, Role,
    ScheduleStatus, ScheduleZone, Scope, SingleScheduleSpec, Spec, Target, TargetOs,
};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{ResourceDraft, Seen};
use serde_json::value::RawValue;

use super::{Operators, PROFILE, Saying};
use crate::host::{NEWER_FIELD, index_of};
use crate::scenario::{Order, Span, Window, Zone};

/// When machines may restart, as the operators meant it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// From the first to the second time, ms since the world began.
    Once(u64, Option<u64>),
    /// Every week: weekday (0 is Sunday), hour, length in ms, zone.
    Weekly(u8, u8, u64, Zone),
}

impl From<&Window> for Rule {
    fn from(window: &Window) -> Self {
        match window {
            Window::Once { from, to } => Self::Once(from.0, to.map(|to| to.0)),
            Window::Weekly { weekday, hour, length, zone } => {
                Self::Weekly(*weekday, *hour, length.0, *zone)
            }
        }
    }
}

/// An order that was placed.
#[derive(Clone, Debug)]
pub struct Placed {
    /// What is to be carried at once.
    pub now: Vec<Carried>,
    /// What is to be carried once the second signer signed.
    pub later: Vec<Carried>,
}

impl Operators {
    /// Releases an image: both release keys sign its profile.
    pub fn release(&mut self, at: WallTime, version: &str) -> (Vec<Carried>, Digest) {
        let profile = serde_json::from_value(serde_json::json!({
            "name": PROFILE, "type": "OS_TYPE_IMMUTABLE", "provider": "OS_PROVIDER_KIND_INFRA",
            "profileName": PROFILE, "osImageVersion": version,
            "indexDigest": index_of(version), "indexBytes": 1_000,
        }));
        let spec = Spec::OsProfile(Box::new(profile.expect("the profile is well-formed")));
        let id = self.named(Kind::OsProfile, version);
        let draft = self.draft(at).resource(ResourceDraft::new(id, 1, &spec));
        let statement = draft.finish().expect("the statement is well-formed");
        let profile = statement.payload().resources[0].digest();
        let saying = [Saying::Release { index: index_of(version), profile }];
        (self.sign_again(&statement, &saying, Role::Release, &[0, 1], true), profile)
    }

    /// Orders a released image. Each order of one site, or of everyone, is the next version of one
    /// policy; `again` repeats the newest version with other words.
    pub fn order(
        &mut self,
        begins: WallTime,
        order: &Order,
        again: bool,
        sees: Vec<(Seen, Digest)>,
    ) -> Placed {
        let at = begins.plus_ms(ms(order.at));
        let (mut now, profile) = self.release(at, &order.version);
        let name = order.site.as_deref().unwrap_or("everyone");
        let id = self.named(Kind::OsUpdatePolicy, name);
        let version = self.next_version(&id) - u64::from(again);
        let window = Rule::from(&order.window);
        let schedule_name = format!("{name} {version}{}", if again { " again" } else { "" });
        let (schedule_id, schedule) = self.schedule(begins, &schedule_name, &window);
        let target = match &order.site {
            Some(site) => Target { site: Some(self.site(site)), ..Target::default() },
            None => Target { all: true, ..Target::default() },
        };
        let policy: OsUpdatePolicySpec = serde_json::from_value(serde_json::json!({
            "name": name, "updatePolicy": "UPDATE_POLICY_TARGET",
            "spreadSeconds": order.spread.0 / 1_000, "schedules": [schedule_id],
            "targetOs": TargetOs {
                profile: PROFILE.into(), version: order.version.clone(), digest: profile,
            },
        }))
        .expect("the policy is well-formed");
        let policy = Spec::OsUpdatePolicy(Box::new(policy));
        let saying = [Saying::Order {
            id: id.clone(),
            version,
            profile,
            site: order.site.clone(),
            window,
            sees: sees.iter().map(|(_, statement)| *statement).collect(),
        }];
        let policy = match order.newer_field {
            false => ResourceDraft::new(id, version, &policy),
            true => newer(id, version, &policy),
        };
        let draft = self
            .draft(at)
            .sees(sees.into_iter().map(|(seen, _)| seen))
            .resource(ResourceDraft::new(schedule_id, 1, &schedule).target(target.clone()))
            .resource(policy.target(target));
        let statement = draft.finish().expect("the statement is well-formed");
        // Whoever contradicts is another pair than the one that is contradicted.
        let (first, second) = self.pair(again);
        now.extend(self.sign_again(&statement, &saying, Role::Policy, &[first], true));
        let mut later = Vec::new();
        if !order.too_few {
            later = self.sign_again(&statement, &saying, Role::Policy, &[second], false);
            if order.cosigned_after == Span(0) {
                now.append(&mut later);
            }
        }
        Placed { now, later }
    }

    fn next_version(&self, policy: &ResourceId) -> u64 {
        let honest = self.ledger.said().filter(|(_, said)| said.honest);
        let sayings = honest.flat_map(|(_, said)| &said.saying);
        let versions = sayings.filter_map(|saying| match saying {
            Saying::Order { id, version, .. } if id == policy => Some(*version),
            Saying::Order { .. }
            | Saying::Release { .. }
            | Saying::Blackout(..)
            | Saying::Halt
            | Saying::Resume(_)
            | Saying::Host { .. } => None,
        });
        versions.max().unwrap_or(0) + 1
    }

    fn schedule(&self, begins: WallTime, name: &str, window: &Rule) -> (ResourceId, Spec) {
        let schedule_status = ScheduleStatus::OsUpdate;
        match window {
            Rule::Once(from, to) => {
                let at = |ms: u64| begins.plus_ms(i64::try_from(ms).unwrap_or(0)).as_seconds();
                let spec = SingleScheduleSpec {
                    name: name.to_owned(),
                    schedule_status,
                    start_seconds: at(*from),
                    end_seconds: to.map(at),
                };
                (self.named(Kind::SingleSchedule, name), Spec::SingleSchedule(spec))
            }
            Rule::Weekly(weekday, hour, length_ms, zone) => {
                let spec = RepeatedScheduleSpec {
                    name: name.to_owned(),
                    schedule_status,
                    duration_seconds: u32::try_from(length_ms / 1_000).unwrap_or(u32::MAX),
                    cron_minutes: "0".into(),
                    cron_hours: hour.to_string(),
                    cron_day_month: "*".into(),
                    cron_month: "*".into(),
                    cron_day_week: weekday.to_string(),
                    zone: match zone {
                        Zone::Utc => ScheduleZone::Utc,
                        Zone::Berlin => ScheduleZone::Iana("Europe/Berlin".into()),
                    },
                };
                (self.named(Kind::RepeatedSchedule, name), Spec::RepeatedSchedule(spec))
            }
        }
    }

    /// Halts everything: one key.
    pub fn halt(&mut self, at: WallTime) -> Vec<Carried> {
        let name = format!("halt {at}");
        let id = self.named(Kind::Halt, &name);
        let spec = Spec::Halt(HaltSpec { name, policy: None });
        let everyone = Target { all: true, ..Target::default() };
        let draft = self.draft(at).resource(ResourceDraft::new(id, 1, &spec).target(everyone));
        let halt = self.sign(&draft, &[Saying::Halt], Role::Halt, &[0]);
        self.halts.extend(halt.iter().cloned());
        halt
    }

    /// Lifts all halts: two keys, or one if `too_few`.
    pub fn resume(&mut self, at: WallTime, too_few: bool) -> Vec<Carried> {
        let halts = self.ledger.said().filter(|(_, said)| said.role == Role::Halt);
        let halts: Vec<Digest> = halts.map(|(digest, _)| *digest).collect();
        let name = format!("resume {at}");
        let id = self.named(Kind::Resume, &name);
        let spec = Spec::Resume(ResumeSpec { name, halts: halts.clone() });
        let everyone = Target { all: true, ..Target::default() };
        let draft = self.draft(at).resource(ResourceDraft::new(id, 1, &spec).target(everyone));
        let (first, second) = self.pair(false);
        let signers = if too_few { vec![first] } else { vec![first, second] };
        self.sign(&draft, &[Saying::Resume(halts)], Role::Policy, &signers)
    }

    /// Closes a time for everyone; what to carry, and what an order that knows of it says.
    pub fn blackout(
        &mut self,
        begins: WallTime,
        said_at: Span,
        from: Span,
        until: Span,
    ) -> (Vec<Carried>, (Seen, Digest)) {
        let name = format!("blackout {from}");
        let id = self.named(Kind::Blackout, &name);
        let spec = Spec::Blackout(BlackoutSpec {
            name,
            from: begins.plus_ms(ms(from)),
            to: begins.plus_ms(ms(until)),
            yearly: false,
            zone: ScheduleZone::Utc,
        });
        let everyone = Target { all: true, ..Target::default() };
        let draft = self
            .draft(begins.plus_ms(ms(said_at)))
            .resource(ResourceDraft::new(id.clone(), 1, &spec).target(everyone));
        let statement = draft.finish().expect("the statement is well-formed");
        let saying = [Saying::Blackout(from.0, until.0)];
        let (first, second) = self.pair(false);
        let carried = self.sign_again(&statement, &saying, Role::Policy, &[first, second], true);
        let seen = Seen(Scope::Fleet, Kind::Blackout.name().to_owned(), id, 1);
        (carried, (seen, statement.digest()))
    }

    /// A statement of a kind that this agent does not know.
    pub fn future(&mut self, at: WallTime, closes: bool) -> Vec<Carried> {
        let content =
            RawValue::from_string("{\"speed\":\"ludicrous\"}".to_owned()).expect("it is JSON");
        let id = "warp-1".parse().expect("it is an id");
        let everyone = Target { all: true, ..Target::default() };
        let mut resource =
            ResourceDraft::of_kind("WarpPolicy", id, 1, Some(content)).target(everyone);
        if closes {
            resource = resource.closing();
        }
        let draft = self.draft(at).resource(resource);
        let (first, second) = self.pair(false);
        self.sign(&draft, &[], Role::Policy, &[first, second])
    }
}

/// A policy with a field that only newer agents know.
fn newer(id: ResourceId, version: u64, policy: &Spec) -> ResourceDraft {
    let mut json = serde_json::to_value(policy).expect("it is JSON")["spec"].take();
    json[NEWER_FIELD] = true.into();
    let content = RawValue::from_string(json.to_string()).expect("it is JSON");
    ResourceDraft::of_kind(Kind::OsUpdatePolicy.name(), id, version, Some(content))
}

fn ms(span: Span) -> i64 {
    i64::try_from(span.0).unwrap_or(i64::MAX)
}
