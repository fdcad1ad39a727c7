//! What a host reports: values at short paths (RULES D4). Paths are free within bounds; what a name
//! means is the reader's business, so that a newer agent's facts never break an older one's chain.

use std::collections::BTreeMap;
use std::fmt;

use crate::limits;

/// A path that breaks the bounds of RULES D4.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// No name, or more than [`limits::REPORT_PATH_DEPTH_MAX`].
    #[error("a path has 1 to {max} names, not {0}", max = limits::REPORT_PATH_DEPTH_MAX)]
    Depth(usize),
    /// An empty name, or one longer than [`limits::REPORT_NAME_BYTES_MAX`].
    #[error("a name in a path has 1 to {max} bytes, not {0}", max = limits::REPORT_NAME_BYTES_MAX)]
    Name(usize),
}

/// Where a fact stands: 1 to 3 names of 1 to 64 bytes each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FactPath(Vec<String>);

impl FactPath {
    /// A path of these names.
    ///
    /// # Errors
    /// If there are too few or too many, or one is empty or too long.
    pub fn new<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Result<Self, InvalidPath> {
        let mut path = Vec::new();
        for name in names {
            let name = name.into();
            if name.is_empty() || name.len() > limits::REPORT_NAME_BYTES_MAX {
                return Err(InvalidPath::Name(name.len()));
            }
            path.push(name);
            if path.len() > limits::REPORT_PATH_DEPTH_MAX {
                return Err(InvalidPath::Depth(path.len()));
            }
        }
        if path.is_empty() { Err(InvalidPath::Depth(0)) } else { Ok(Self(path)) }
    }

    /// The names, outermost first.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// Whether `self` stands above `other` in the tree.
    pub fn is_above(&self, other: &Self) -> bool {
        other.0.len() > self.0.len() && other.0.starts_with(&self.0)
    }

    fn starts_with(&self, above: &[String]) -> bool {
        self.0.starts_with(above)
    }
}

impl fmt::Display for FactPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

/// A reported value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// Text.
    Text(String),
    /// An integer: counts, bytes, milliseconds.
    Integer(i64),
}

/// Values at paths, no value above or below another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts(BTreeMap<FactPath, Value>);

impl Facts {
    /// Sets a value. Values above or below the path make way for it.
    pub fn put(&mut self, path: FactPath, value: Value) {
        let in_the_way: Vec<FactPath> = self.conflicts(&path).cloned().collect();
        for held in &in_the_way {
            self.0.remove(held);
        }
        self.0.insert(path, value);
    }

    /// Removes the value at `path` and all below it; says whether there was any.
    pub fn remove(&mut self, path: &FactPath) -> bool {
        let below: Vec<FactPath> = self.at_or_below(path).map(|(held, _)| held.clone()).collect();
        for held in &below {
            self.0.remove(held);
        }
        !below.is_empty()
    }

    /// The value at `path`.
    pub fn get(&self, path: &FactPath) -> Option<&Value> {
        self.0.get(path)
    }

    /// Everything, in order of path.
    pub fn iter(&self) -> impl Iterator<Item = (&FactPath, &Value)> {
        self.0.iter()
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values whose paths begin with these names, with the names that follow.
    pub fn below<'a>(
        &'a self,
        names: &'a [String],
    ) -> impl Iterator<Item = (&'a [String], &'a Value)> {
        self.0
            .range(FactPath(names.to_vec())..)
            .take_while(move |(path, _)| path.starts_with(names))
            .filter(move |(path, _)| path.0.len() > names.len())
            .map(move |(path, value)| (path.0.get(names.len()..).unwrap_or_default(), value))
    }

    /// The paths of the values above and below `path`: while there is one, none can stand there.
    pub(crate) fn conflicts<'a>(
        &'a self,
        path: &'a FactPath,
    ) -> impl Iterator<Item = &'a FactPath> {
        let above = (1..path.0.len()).filter_map(|depth| {
            let names = path.0.get(..depth)?.to_vec();
            self.0.get_key_value(&FactPath(names)).map(|(held, _)| held)
        });
        above.chain(self.at_or_below(path).map(|(held, _)| held).filter(move |held| *held != path))
    }

    fn at_or_below<'a>(
        &'a self,
        path: &'a FactPath,
    ) -> impl Iterator<Item = (&'a FactPath, &'a Value)> {
        self.0.range(path.clone()..).take_while(|(held, _)| held.starts_with(&path.0))
    }
}

impl FromIterator<(FactPath, Value)> for Facts {
    fn from_iter<I: IntoIterator<Item = (FactPath, Value)>>(facts: I) -> Self {
        let mut all = Self::default();
        for (path, value) in facts {
            all.put(path, value);
        }
        all
    }
}
