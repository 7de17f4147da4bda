//! A table by [`InstanceId`]: ids are small numbers that are given anew when their
//! virtual router is gone, so the places of those that are free stay empty.

use std::ops::{Index, IndexMut};

use super::InstanceId;

#[derive(Debug)]
pub(crate) struct Slots<T>(Vec<Option<T>>);

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Slots<T> {
    /// The ids that are in use, in order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = InstanceId> + use<T> {
        let ids: Vec<InstanceId> = self.iter().map(|(id, _)| id).collect();
        ids.into_iter()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (InstanceId, &T)> {
        let places = (0..).map(InstanceId).zip(&self.0);
        places.filter_map(|(id, place)| Some((id, place.as_ref()?)))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().flatten()
    }

    pub(crate) fn get(&self, id: InstanceId) -> Option<&T> {
        self.0.get(id.0 as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: InstanceId) -> Option<&mut T> {
        self.0.get_mut(id.0 as usize)?.as_mut()
    }

    /// # Panics
    /// If another has this id.
    pub(crate) fn insert(&mut self, id: InstanceId, value: T) {
        let index = id.0 as usize;
        if self.0.len() <= index {
            self.0.resize_with(index + 1, || None);
        }
        let place = &mut self.0[index];
        assert!(place.is_none(), "slot {index} is not free");
        *place = Some(value);
    }

    pub(crate) fn remove(&mut self, id: InstanceId) -> Option<T> {
        self.0.get_mut(id.0 as usize)?.take()
    }
}

impl<T> Index<InstanceId> for Slots<T> {
    type Output = T;

    /// # Panics
    /// If nobody has this id.
    fn index(&self, id: InstanceId) -> &T {
        match self.get(id) {
            Some(value) => value,
            None => panic!("nobody has slot {}", id.0),
        }
    }
}

impl<T> IndexMut<InstanceId> for Slots<T> {
    fn index_mut(&mut self, id: InstanceId) -> &mut T {
        match self.get_mut(id) {
            Some(value) => value,
            None => panic!("nobody has slot {}", id.0),
        }
    }
}
