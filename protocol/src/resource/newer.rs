//! What a reader of a later version knows beyond this one, as data: so that a fleet whose agents
//! differ in version can be simulated by one build. No daemon reads with it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::Kind;

/// Fields of specs that a later version knows and this one does not. What they mean is not known
/// here: a spec is read as if they were not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewerFields(BTreeMap<Kind, BTreeSet<&'static str>>);

impl NewerFields {
    /// None: what this version reads with.
    pub const NONE: Self = Self(BTreeMap::new());

    /// Knows one field more.
    #[must_use]
    pub fn and(mut self, kind: Kind, field: &'static str) -> Self {
        self.0.entry(kind).or_default().insert(field);
        self
    }

    /// A spec of `kind` without these fields.
    pub(crate) fn without<'json>(&self, kind: Kind, json: &'json str) -> Cow<'json, str> {
        let Some(fields) = self.0.get(&kind) else { return json.into() };
        let Ok(mut spec) = serde_json::from_str::<serde_json::Map<_, _>>(json) else {
            return json.into();
        };
        spec.retain(|name, _| !fields.contains(name.as_str()));
        serde_json::Value::Object(spec).to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use crate::document::{Entry, Shared};
    use crate::id::{Digest, FleetId};
    use crate::resource::{Kind, NewerFields, Scope, Spec};
    use crate::time::WallTime;
    use crate::trust::{Draft, ResourceDraft};

    #[test]
    fn s3_a_newer_reader_takes_the_same_bytes_and_reads_the_field_that_others_do_not() {
        let json = r#"{"name":"h","urgency":"high"}"#.to_owned();
        let content = serde_json::value::RawValue::from_string(json).unwrap();
        let id = "hold-1".parse().unwrap();
        let resource = ResourceDraft::of_kind(Kind::Hold.name(), id, 1, Some(content));
        let draft = Draft::new(FleetId([1; 32]), Scope::Fleet, WallTime::EPOCH).resource(resource);
        let written = draft.finish().unwrap();
        let entry = crate::document::statement_entry(written.bytes());
        let urgency = NewerFields::NONE.and(Kind::Hold, "urgency");
        for (newer, reads) in [
            (NewerFields::NONE, false),
            (NewerFields::NONE.and(Kind::Hold, "color"), false),
            (NewerFields::NONE.and(Kind::Retry, "urgency"), false),
            (urgency, true),
        ] {
            let shared = Shared::default().of_newer(newer);
            let Ok(Entry::Statement(read)) = Entry::decode_sharing(&entry, &shared) else {
                panic!("nobody refuses it");
            };
            let resource = &read.payload().resources[0];
            assert_eq!(matches!(resource.spec(), Ok(Some(Spec::Hold(_)))), reads);
            assert_eq!((read.digest(), read.bytes()), (written.digest(), written.bytes()));
            assert_eq!(resource.digest(), written.payload().resources[0].digest());
            assert_eq!(Digest::of(&Entry::Statement(read).encode()), Digest::of(&entry));
        }
    }
}
