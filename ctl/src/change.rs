//! A change set before it is signed: what each resource becomes, and which statements say so.
//!
//! One statement speaks under one role and lives in one scope; closings go first, so that the
//! opening ones can list them in `sees` (RULES Q1, S2, S5).

use daymark_protocol::id::{FleetId, ResourceId};
use daymark_protocol::limits;
use daymark_protocol::resource::{Kind, Role, Scope, Spec, Target};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{Replaced, Seen, Standing, State};
use serde_json::Value;

use crate::exit::{Failure, Outcome};
use crate::{names, scopes, times};

/// What one resource becomes.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: ResourceId,
    /// Its name, for people.
    pub name: String,
    /// Where it lives.
    pub scope: Scope,
    /// Whom it is for.
    pub target: Option<Target>,
    /// Hosts: the site.
    pub site: Option<ResourceId>,
    /// Hosts: the site they leave.
    pub moved_from: Option<ResourceId>,
    /// Hosts: the machine in whose place this one comes, and which thereby ends.
    pub replaces: Option<Replaced>,
    /// When it ends.
    pub until: Option<WallTime>,
    /// Its content; `None` is a tombstone.
    pub spec: Option<Spec>,
    /// Its new version.
    pub version: u64,
    /// What it does to what is held.
    pub effect: ChangeEffect,
}

/// What a change does to what is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChangeEffect {
    /// The resource is new.
    Create,
    /// Fields change: name, before, after.
    Update(Vec<(String, String, String)>),
    /// It says what is held already.
    Unchanged,
    /// The resource ends.
    Delete,
}

impl Change {
    /// A change that makes a resource what `spec` says. Reads what is held to find its id's next
    /// version and what changes.
    pub(crate) fn put(
        standing: &Standing,
        fleet: &FleetId,
        scope: Scope,
        spec: Spec,
        target: Option<Target>,
        until: Option<WallTime>,
    ) -> Outcome<Self> {
        let kind = spec.kind();
        let name = names::spec_name(&spec);
        spec.validate().map_err(|error| Failure::usage(format!("{kind} {name:?}: {error}")))?;
        if matches!(spec, Spec::Host(_)) {
            return Err(Failure::usage("hosts are added with `daymarkctl enroll`"));
        }
        let scope = scopes::of_kind(kind, scope);
        scopes::check(standing, &scope, target.as_ref())?;
        let id = existing_or_derived(standing, fleet, &scope, kind, &name);
        if let Spec::Region(region) = &spec {
            check_nesting(standing, &id, &name, region.parent.as_ref())?;
        }
        let effect = effect(standing, &id, &spec, target.as_ref(), until);
        let version = next_version(standing, kind, &id)?;
        Ok(Self {
            kind,
            id,
            name,
            scope,
            target,
            site: None,
            moved_from: None,
            replaces: None,
            until,
            spec: Some(spec),
            version,
            effect,
        })
    }

    /// A change that ends a resource.
    pub(crate) fn delete(standing: &Standing, kind: Kind, id: &ResourceId) -> Outcome<Self> {
        let held = standing
            .lines
            .get(&(kind, id.clone()))
            .and_then(|line| line.versions.first())
            .ok_or_else(|| Failure::usage(format!("there is no {kind} {id}")))?;
        Ok(Self {
            kind,
            id: id.clone(),
            name: names::version_name(held, id),
            scope: held.scope.clone(),
            target: held.target.clone(),
            site: held.site.clone(),
            moved_from: held.site.clone(),
            replaces: None,
            until: None,
            spec: None,
            version: next_version(standing, kind, id)?,
            effect: ChangeEffect::Delete,
        })
    }

    /// About how large it is as it is signed.
    fn bytes(&self) -> usize {
        let spec = self.spec.as_ref().and_then(|spec| serde_json::to_vec(spec).ok());
        let target = self.target.as_ref().and_then(|target| serde_json::to_vec(target).ok());
        let json = spec.into_iter().chain(target).map(|json| json.len()).sum::<usize>();
        RESOURCE_HEAD_BYTES + json
    }

    /// Whether it closes: a closing kind, or the end of what opens.
    pub(crate) fn closes(&self) -> bool {
        self.kind.closes() && self.spec.is_some()
    }

    /// Whether it may let a host start something: what asks for updates, opens windows, lets a
    /// version be seen, lifts a quarantine, or ends what closes.
    pub(crate) fn opens(&self) -> bool {
        match self.kind {
            Kind::OsUpdatePolicy
            | Kind::SingleSchedule
            | Kind::RepeatedSchedule
            | Kind::Promotion
            | Kind::CustomConfig
            | Kind::Emergency
            | Kind::Retry => true,
            Kind::Blackout | Kind::Hold => self.spec.is_none(),
            Kind::Region
            | Kind::Site
            | Kind::Host
            | Kind::OsProfile
            | Kind::Halt
            | Kind::Resume
            | Kind::Token => false,
        }
    }
}

/// What saying this of an id does to what is held.
pub(crate) fn effect(
    standing: &Standing,
    id: &ResourceId,
    spec: &Spec,
    target: Option<&Target>,
    until: Option<WallTime>,
) -> ChangeEffect {
    let Some(line) = standing.lines.get(&(spec.kind(), id.clone())) else {
        return ChangeEffect::Create;
    };
    let Some(held) = line.versions.first().filter(|held| !held.gone) else {
        return ChangeEffect::Create;
    };
    let before = held.spec.as_ref().ok().and_then(Option::as_ref);
    let same = line.state == State::Counts
        && before == Some(spec)
        && held.target.as_ref() == target
        && held.until == until;
    if same {
        return ChangeEffect::Unchanged;
    }
    ChangeEffect::Update(differences(standing, before, spec, held.target.as_ref(), target))
}

/// Levels of regions (EIM).
const REGION_LEVELS_MAX: usize = 5;

/// Refuses a region that would lie within itself or too deep.
fn check_nesting(
    standing: &Standing,
    id: &ResourceId,
    name: &str,
    parent: Option<&ResourceId>,
) -> Outcome<()> {
    let mut path = vec![name.to_owned()];
    let mut above = parent;
    while let Some(region) = above {
        path.push(names::name_of(standing, Kind::Region, region));
        if region == id {
            return Err(Failure::usage(format!(
                "region {name:?} would lie within itself: {}",
                path.join(" in ")
            ))
            .next("choose another parent"));
        }
        if path.len() > REGION_LEVELS_MAX {
            return Err(Failure::usage(format!(
                "region {name:?} would lie deeper than {REGION_LEVELS_MAX} levels: {}",
                path.join(" in ")
            ))
            .next("choose a parent further up"));
        }
        let line = standing.lines.get(&(Kind::Region, region.clone()));
        above = match line.and_then(names::living).map(|version| &version.spec) {
            Some(Ok(Some(Spec::Region(spec)))) => spec.parent.as_ref(),
            _ => None,
        };
    }
    Ok(())
}

/// The id of a resource of this name and scope: the one that is held, imported ids included, or
/// else the derived one.
fn existing_or_derived(
    standing: &Standing,
    fleet: &FleetId,
    scope: &Scope,
    kind: Kind,
    name: &str,
) -> ResourceId {
    let derived = ResourceId::derive(kind.prefix(), fleet, &scope.to_string(), kind.name(), name);
    if standing.lines.contains_key(&(kind, derived.clone())) {
        return derived;
    }
    names::find_in(standing, &[kind], name, Some(scope)).map_or(derived, |(_, id)| id)
}

/// The version after the highest one held.
pub(crate) fn next_version(standing: &Standing, kind: Kind, id: &ResourceId) -> Outcome<u64> {
    let highest = standing
        .lines
        .get(&(kind, id.clone()))
        .and_then(|line| line.versions.first())
        .map_or(0, |version| version.version);
    highest.checked_add(1).ok_or_else(|| {
        Failure::refused(format!("{kind} {id} is at the highest possible version"))
            .next("the root's keys can void it")
    })
}

/// The fields in which two states of a resource differ: name, before, after.
pub(crate) fn differences(
    standing: &Standing,
    before: Option<&Spec>,
    after: &Spec,
    target_before: Option<&Target>,
    target_after: Option<&Target>,
) -> Vec<(String, String, String)> {
    let mut differences = Vec::new();
    let show_target = |target| crate::targets::show(standing, target);
    if target_before != target_after {
        let sides = (show_target(target_before), show_target(target_after));
        differences.push(("target".to_owned(), sides.0, sides.1));
    }
    let fields = |spec: Option<&Spec>| {
        spec.and_then(|spec| serde_json::to_value(spec).ok())
            .and_then(|value| value.get("spec").and_then(Value::as_object).cloned())
            .unwrap_or_default()
    };
    let (before, after) = (fields(before), fields(Some(after)));
    let show = |value: Option<&Value>| match value {
        None => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        if before.get(key) != after.get(key) {
            differences.push((key.clone(), show(before.get(key)), show(after.get(key))));
        }
    }
    differences
}

/// One statement to be signed.
#[derive(Clone, Debug)]
pub(crate) struct StatementPlan {
    /// The role whose keys must sign.
    pub role: Role,
    /// Where it lives.
    pub scope: Scope,
    /// When it ends.
    pub until: Option<WallTime>,
    /// What it changes.
    pub changes: Vec<Change>,
    /// What its signers knew.
    pub sees: Vec<Seen>,
    /// About how large its resources are as they are signed.
    bytes: usize,
}

/// Most bytes of resources that are put together in one statement: half of what it may have (RULES
/// S1). The other half is for what its signers knew and why.
const CHANGES_BYTES_MAX: usize = limits::STATEMENT_PAYLOAD_BYTES_MAX / 2;
/// About how many bytes a resource has besides its content and target: names of fields, id, version.
const RESOURCE_HEAD_BYTES: usize = 300;

/// Splits changes into statements, closings first (RULES Q1).
pub(crate) fn plan(standing: &Standing, changes: Vec<Change>) -> Outcome<Vec<StatementPlan>> {
    let mut plans: Vec<StatementPlan> = Vec::new();
    let (closing, opening): (Vec<Change>, Vec<Change>) = changes
        .into_iter()
        .filter(|change| change.effect != ChangeEffect::Unchanged)
        .partition(Change::closes);
    for change in closing.into_iter().chain(opening) {
        let role = change.kind.role();
        let fits = |plan: &StatementPlan| {
            plan.role == role
                && plan.scope == change.scope
                && plan.until == change.until
                && plan.changes.iter().all(|other| other.closes() == change.closes())
                && plan.changes.len() < limits::STATEMENT_RESOURCES_MAX
                && plan.bytes + change.bytes() <= CHANGES_BYTES_MAX
                && !change.kind.stands_alone()
                && !plan.changes.iter().any(|other| other.kind.stands_alone())
        };
        match plans.iter_mut().find(|plan| fits(plan)) {
            Some(plan) => {
                plan.bytes += change.bytes();
                plan.changes.push(change);
            }
            None => plans.push(StatementPlan {
                bytes: change.bytes(),
                role,
                scope: change.scope.clone(),
                until: change.until,
                changes: vec![change],
                sees: Vec::new(),
            }),
        }
    }
    let mut new: Vec<Seen> = Vec::new();
    for plan in &mut plans {
        if plan.changes.iter().any(Change::opens) {
            plan.sees = known_closings(standing, &plan.changes);
            plan.sees.extend(new.iter().cloned());
            plan.sees.sort();
            plan.sees.dedup();
            if plan.sees.len() > limits::SEES_MAX {
                return Err(Failure::refused(format!(
                    "{} closings and narrower policies are in force, and a statement can list {}",
                    plan.sees.len(),
                    limits::SEES_MAX
                ))
                .next("resume halts, and delete blackouts and policies that are over"));
            }
        }
        new.extend(plan.changes.iter().filter(|change| change.closes()).map(|change| {
            Seen(change.scope.clone(), change.kind.name().into(), change.id.clone(), change.version)
        }));
    }
    Ok(plans)
}

/// Closings in force, halts that stand, and policies for less than everyone that may reach a host
/// that these changes reach: what a signer knows (RULES S5). What has ended closes nothing and is
/// left out, so that the list does not grow for ever.
pub(crate) fn known_closings(standing: &Standing, changes: &[Change]) -> Vec<Seen> {
    let now = times::now();
    let lines = standing.lines.iter().filter_map(|((kind, id), line)| {
        let version = line.versions.first()?;
        let narrow = *kind == Kind::OsUpdatePolicy
            && version.target.as_ref().is_some_and(|target| !target.all);
        (kind.closes() || narrow).then_some((*kind, id, &**version))
    });
    let halts = standing.halts.iter().map(|halt| (Kind::Halt, &halt.id, &*halt.version));
    lines
        .chain(halts)
        .filter(|(_, id, _)| !changes.iter().any(|change| change.id == **id))
        .filter(|(_, _, version)| {
            let in_force = !version.gone && version.until.is_none_or(|until| until > now);
            in_force
                && changes.iter().any(|change| {
                    let (ours, theirs) = (change.target.as_ref(), version.target.as_ref());
                    change.opens() && may_meet((&change.scope, ours), (&version.scope, theirs))
                })
        })
        .map(|(kind, id, version)| {
            Seen(version.scope.clone(), kind.name().into(), id.clone(), version.version)
        })
        .collect()
}

/// Whom something reaches: what lies in both its scope and its target (RULES S4).
type Aim<'a> = (&'a Scope, Option<&'a Target>);

/// Whether some host may be reached by both, as far as scopes and targets alone tell.
fn may_meet((here, one): Aim<'_>, (there, other): Aim<'_>) -> bool {
    let site = |scope: &Scope| match scope {
        Scope::Site(site) => Some(site.clone()),
        Scope::Fleet | Scope::Region(_) => None,
    };
    let narrowed = |scope: &Scope, target: Option<&Target>| {
        let mut target = target.cloned().unwrap_or_default();
        target.site = target.site.or_else(|| site(scope));
        target
    };
    let (one, other) = (narrowed(here, one), narrowed(there, other));
    let hosts = one.hosts.is_empty()
        || other.hosts.is_empty()
        || one.hosts.iter().any(|host| other.hosts.contains(host));
    let sites = one.site.is_none() || other.site.is_none() || one.site == other.site;
    hosts && sites
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s5_targets_that_share_no_host_need_not_see_each_other() {
        let host = |number| Target {
            hosts: vec![daymark_protocol::id::KeyId([number; 32])],
            ..Target::default()
        };
        let site = |name: &str| Target { site: name.parse().ok(), ..Target::default() };
        let all = Target { all: true, ..Target::default() };
        let fleet = Scope::Fleet;
        let meet =
            |one: &Target, other: &Target| may_meet((&fleet, Some(one)), (&fleet, Some(other)));
        assert!(!meet(&host(1), &host(2)));
        assert!(meet(&host(1), &host(1)));
        assert!(!meet(&site("site-a"), &site("site-b")));
        assert!(meet(&site("site-a"), &all));
        assert!(meet(&host(1), &site("site-a")));
        assert!(may_meet((&fleet, None), (&fleet, Some(&all))));
        let of = |name: &str| Scope::Site(name.parse().unwrap());
        assert!(!may_meet((&of("site-a"), Some(&all)), (&of("site-b"), Some(&all))));
        assert!(!may_meet((&of("site-a"), Some(&all)), (&fleet, Some(&site("site-b")))));
        assert!(may_meet((&of("site-a"), Some(&all)), (&fleet, Some(&all))));
    }
}
