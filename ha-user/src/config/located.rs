//! Values that know where in the file they stand.

use std::ops::Range;

/// A value and the octets of the file that spell it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

impl<T> Located<T> {
    pub(super) const fn new(value: T, span: Range<usize>) -> Self {
        Self { value, span }
    }
}

/// One setting of a file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) enum Field<T> {
    /// The file does not mention it.
    #[default]
    Absent,
    /// The file gives it, but not as anything of this kind; that has been
    /// reported, and is no reason to report that it is missing.
    Bad,
    /// The file gives it.
    Given(Located<T>),
}

impl<T> From<Option<Located<T>>> for Field<T> {
    fn from(given: Option<Located<T>>) -> Self {
        given.map_or(Self::Absent, Self::Given)
    }
}

impl<T> From<Field<T>> for Option<Located<T>> {
    fn from(field: Field<T>) -> Self {
        match field {
            Field::Given(located) => Some(located),
            Field::Absent | Field::Bad => None,
        }
    }
}

impl<T> Field<T> {
    pub(super) const fn given(&self) -> Option<&Located<T>> {
        match self {
            Self::Given(located) => Some(located),
            Self::Absent | Self::Bad => None,
        }
    }

    pub(super) const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// What `read` makes of the value; `Bad` if that is nothing, which `read`
    /// has reported.
    pub(super) fn and_then<U>(self, read: impl FnOnce(&Located<T>) -> Option<U>) -> Field<U> {
        match self {
            Self::Absent => Field::Absent,
            Self::Bad => Field::Bad,
            Self::Given(located) => read(&located).map_or(Field::Bad, |value| {
                Field::Given(Located::new(value, located.span))
            }),
        }
    }
}

/// The entries of a list that are of the right kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct List<T> {
    pub(super) entries: Vec<Located<T>>,
    /// Whether others have been reported as none.
    pub(super) incomplete: bool,
}

impl<T> Field<List<T>> {
    /// The entries; none if there is no list.
    pub(super) fn entries(&self) -> &[Located<T>] {
        self.given().map_or(&[], |list| &list.value.entries)
    }
}
