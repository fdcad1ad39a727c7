//! `create region|site|schedule|blackout|…`: flags to a statement.

use daymark_protocol::resource::Kind;
use daymark_protocol::resource::{
    BlackoutSpec, RegionSpec, RepeatedScheduleSpec, ScheduleStatus, ScheduleZone, Scope,
    SingleScheduleSpec, SiteSpec, Spec, Target,
};
use daymark_protocol::time::WallTime;
use jiff::tz::TimeZone;

use crate::change::Change;
use crate::cli::{CreateBlackoutArgs, CreateCommand, CreateScheduleArgs, StatusArg};
use crate::commands::{emergency, heartbeat, submit, token};
use crate::exit::{Failure, Outcome};
use crate::session::Session;
use crate::{names, scopes, targets, times};

/// Runs `create …`.
pub(crate) async fn run(mut session: Session, command: CreateCommand) -> Outcome {
    let (spec, target) = match command {
        CreateCommand::Token(args) => return token::create(session, *args).await,
        CreateCommand::Emergency(args) => return emergency::create(session, *args).await,
        CreateCommand::Heartbeat => return heartbeat::create(session).await,
        CreateCommand::Region { name, parent } => (region(&session, name, parent)?, None),
        CreateCommand::Site { name, region, zone } => (site(&session, name, region, zone)?, None),
        CreateCommand::Schedule(args) => {
            let target = target_of(&session, &args.target, "schedule")?;
            (schedule(&args, &site_zone(&session, &target)?)?, Some(target))
        }
        CreateCommand::Blackout(args) => {
            let target = target_of(&session, &args.target, "blackout")?;
            (blackout(&args, &site_zone(&session, &target)?)?, Some(target))
        }
    };
    let (fleet, scope) = (session.fleet()?, session.scope()?);
    if scopes::of_kind(spec.kind(), scope.clone()) != scope {
        return Err(Failure::usage(format!("a {} is the whole fleet's", spec.kind()))
            .next("leave --scope out"));
    }
    let change = Change::put(session.standing(), &fleet, scope, spec, target, None)?;
    submit::run(&mut session, vec![change]).await
}

fn region(session: &Session, name: String, parent: Option<String>) -> Outcome<Spec> {
    let parent = parent
        .map(|parent| names::find(session.standing(), &[Kind::Region], &parent).map(|(_, id)| id))
        .transpose()?;
    Ok(Spec::Region(RegionSpec { name, parent, ..RegionSpec::default() }))
}

fn site(
    session: &Session,
    name: String,
    region: Option<String>,
    zone: Option<String>,
) -> Outcome<Spec> {
    let region = region
        .map(|region| names::find(session.standing(), &[Kind::Region], &region).map(|(_, id)| id))
        .transpose()?;
    if let Some(zone) = &zone {
        times::zone(zone)?;
    }
    Ok(Spec::Site(SiteSpec { name, region, zone, ..SiteSpec::default() }))
}

fn target_of(session: &Session, args: &crate::cli::TargetArgs, what: &str) -> Outcome<Target> {
    let scoped = session.scope()? != Scope::Fleet;
    let target = targets::from_flags(session.standing(), args, &session.global)?;
    target.or_else(|| scoped.then(targets::everyone)).ok_or_else(|| {
        Failure::usage(format!("the {what} has no target, so it would reach nobody"))
            .next("add --all, --site, --region, --host or --label")
    })
}

/// The zone of the site that a target or `--scope` names, for `--zone site` and for times without a zone.
fn site_zone(session: &Session, target: &Target) -> Outcome<TimeZone> {
    let scoped = match session.scope()? {
        Scope::Site(site) => Some(site),
        Scope::Fleet | Scope::Region(_) => None,
    };
    let zone = target.site.clone().or(scoped).and_then(|site| {
        let line = session.standing().lines.get(&(Kind::Site, site))?;
        match &names::living(line)?.spec {
            Ok(Some(Spec::Site(site))) => site.zone.clone(),
            _ => None,
        }
    });
    zone.map_or(Ok(TimeZone::UTC), |zone| times::zone(&zone))
}

fn schedule(args: &CreateScheduleArgs, site_zone: &TimeZone) -> Outcome<Spec> {
    let schedule_status = match args.status {
        StatusArg::OsUpdate => ScheduleStatus::OsUpdate,
        StatusArg::Maintenance => ScheduleStatus::Maintenance,
    };
    let zone = ScheduleZone::from(args.zone.clone());
    let zone_of_fields = zone_of(&zone, site_zone)?;
    if let Some(once) = &args.once {
        let now = times::now();
        let start = times::point(once, &zone_of_fields, now)?;
        if start < now.plus_ms(-1000) {
            return Err(Failure::usage(format!("--once {once} lies in the past")));
        }
        let end = args.length.as_deref().map(times::length_ms).transpose()?;
        return Ok(Spec::SingleSchedule(SingleScheduleSpec {
            name: args.name.clone(),
            schedule_status,
            start_seconds: start.as_seconds().max(now.as_seconds() + 1),
            end_seconds: end.map(|length_ms| start.plus_ms(length_ms).as_seconds()),
        }));
    }
    let (day_month, day_week) = match (&args.weekly, args.daily, &args.monthly) {
        (Some(days), _, _) => ("*".to_owned(), week_days(days)?),
        (None, true, _) => ("*".to_owned(), "*".to_owned()),
        (None, false, Some(days)) => (days.replace(' ', ""), "*".to_owned()),
        (None, false, None) => {
            return Err(Failure::usage("the schedule has no days")
                .next("add --weekly DAYS, --daily, --monthly DAYS or --once TIME"));
        }
    };
    let at = args
        .at
        .as_deref()
        .ok_or_else(|| Failure::usage("the schedule has no time of day").next("add --at HH:MM"))?;
    let (hour, minute) = time_of_day(at)?;
    let length = args.length.as_deref().ok_or_else(|| {
        Failure::usage("the window has no length").next("add --for, such as --for 3h")
    })?;
    let duration_seconds = u32::try_from(times::length_ms(length)? / 1000)
        .ok()
        .filter(|seconds| (1..=86_400).contains(seconds))
        .ok_or_else(|| Failure::usage("a repeated window is 1 second to 24 hours long"))?;
    Ok(Spec::RepeatedSchedule(RepeatedScheduleSpec {
        name: args.name.clone(),
        schedule_status,
        duration_seconds,
        cron_minutes: minute.to_string(),
        cron_hours: hour.to_string(),
        cron_day_month: day_month,
        cron_month: "*".into(),
        cron_day_week: day_week,
        zone,
    }))
}

fn zone_of(zone: &ScheduleZone, site_zone: &TimeZone) -> Outcome<TimeZone> {
    match zone {
        ScheduleZone::Utc => Ok(TimeZone::UTC),
        ScheduleZone::Site => Ok(site_zone.clone()),
        ScheduleZone::Iana(name) => times::zone(name),
    }
}

fn time_of_day(text: &str) -> Outcome<(u8, u8)> {
    text.split_once(':')
        .and_then(|(hour, minute)| Some((hour.parse().ok()?, minute.parse().ok()?)))
        .filter(|(hour, minute): &(u8, u8)| *hour < 24 && *minute < 60)
        .ok_or_else(|| Failure::usage(format!("{text:?} is not a time of day")).next("write 02:00"))
}

/// `sun,wed` as EIM's day numbers, Sunday 0.
fn week_days(text: &str) -> Outcome<String> {
    const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    let numbers = text
        .split(',')
        .map(|day| {
            let day = day.trim().to_ascii_lowercase();
            DAYS.iter()
                .position(|name| day.get(..3) == Some(*name))
                .map(|number| number.to_string())
                .ok_or_else(|| {
                    Failure::usage(format!("{day:?} is not a day of the week"))
                        .next("use sun, mon, tue, wed, thu, fri or sat")
                })
        })
        .collect::<Outcome<Vec<_>>>()?;
    Ok(numbers.join(","))
}

fn blackout(args: &CreateBlackoutArgs, site_zone: &TimeZone) -> Outcome<Spec> {
    let zone = ScheduleZone::from(args.zone.clone());
    let local = zone_of(&zone, site_zone)?;
    let now = times::now();
    let (from, to) = span((&args.from, &args.to), args.yearly, &local, now)?;
    if to <= from {
        return Err(Failure::usage(format!(
            "the blackout {:?} ends ({}) before it starts ({})",
            args.name,
            times::show_utc(to),
            times::show_utc(from)
        )));
    }
    Ok(Spec::Blackout(BlackoutSpec {
        name: args.name.clone(),
        from,
        to,
        yearly: args.yearly,
        zone,
    }))
}

/// When a blackout begins and ends. One over New Year ends in the year after it begins; a yearly one
/// that is written between New Year and its end began in the year before, so that it closes at once.
fn span(
    (from_text, to_text): (&str, &str),
    yearly: bool,
    zone: &TimeZone,
    now: WallTime,
) -> Outcome<(WallTime, WallTime)> {
    let from = day_or_point(from_text, zone, now)?;
    let to = day_or_point(to_text, zone, now)?;
    if from < to || !is_month_day(to_text) {
        return Ok((from, to));
    }
    if yearly && now < to && is_month_day(from_text) {
        return Ok((in_year(from_text, zone, year_of(now, zone) - 1)?, to));
    }
    Ok((from, in_year(to_text, zone, year_of(from, zone) + 1)?))
}

fn is_month_day(text: &str) -> bool {
    text.len() == 5 && text.as_bytes().get(2) == Some(&b'-')
}

fn year_of(at: WallTime, zone: &TimeZone) -> i16 {
    zone.to_datetime(at.to_timestamp()).year()
}

fn in_year(month_day: &str, zone: &TimeZone, year: i16) -> Outcome<WallTime> {
    times::point(&format!("{year:04}-{month_day}"), zone, WallTime::EPOCH)
}

/// `12-19` is that day of this year.
fn day_or_point(text: &str, zone: &TimeZone, now: WallTime) -> Outcome<WallTime> {
    if is_month_day(text) {
        in_year(text, zone, year_of(now, zone))
    } else {
        times::point(text, zone, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yearly_blackout_over_new_year_closes_now_if_it_is_written_within_it() {
        let zone = TimeZone::UTC;
        let day = |text: &str| times::point(text, &zone, WallTime::EPOCH).unwrap();
        let spans = |days: (&str, &str), yearly: bool, now: &str| {
            let (from, to) = span(days, yearly, &zone, day(now)).unwrap();
            [from, to].map(|at| zone.to_datetime(at.to_timestamp()).date().to_string())
        };
        let new_year = ("12-19", "01-07");
        assert_eq!(spans(new_year, true, "2027-01-02"), ["2026-12-19", "2027-01-07"]);
        assert_eq!(spans(new_year, true, "2027-01-08"), ["2027-12-19", "2028-01-07"]);
        assert_eq!(spans(new_year, true, "2026-12-24"), ["2026-12-19", "2027-01-07"]);
        assert_eq!(spans(new_year, false, "2027-01-02"), ["2027-12-19", "2028-01-07"]);
        assert_eq!(spans(("07-01", "08-01"), true, "2027-01-02"), ["2027-07-01", "2027-08-01"]);
    }
}
