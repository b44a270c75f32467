//! Values under keys that are never used twice, so that what comes late for a value that is gone
//! finds nothing.

/// Values under keys that are never used twice.
#[derive(Debug)]
pub(super) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    /// Counts the values that the slot has held.
    generation: u32,
    value: Option<T>,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Keeps `value`, and says under which key.
    pub(super) fn insert(&mut self, value: T) -> u64 {
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(index as usize)
        {
            slot.value = Some(value);
            return key(index, slot.generation);
        }
        // Values are bounded by connections and what each may have in flight, far below 2^32.
        let index = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot {
            generation: 0,
            value: Some(value),
        });
        key(index, 0)
    }

    /// Takes out what is kept under `key`; nothing if that is gone.
    pub(super) fn remove(&mut self, key: u64) -> Option<T> {
        let index = u32::try_from(key & u64::from(u32::MAX)).ok()?;
        let slot = self.slots.get_mut(index as usize)?;
        if u64::from(slot.generation) != key >> 32 {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        Some(value)
    }
}

fn key(index: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(index)
}

#[cfg(test)]
mod tests {
    use super::Slab;

    #[test]
    fn a_key_finds_its_value_once() {
        let mut slab = Slab::new();
        let first = slab.insert("a");
        let second = slab.insert("b");
        assert_eq!(slab.remove(first), Some("a"));
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.remove(second), Some("b"));
    }

    #[test]
    fn a_late_key_does_not_find_the_next_value_in_its_slot() {
        let mut slab = Slab::new();
        let late = slab.insert("a");
        slab.remove(late);
        let next = slab.insert("b");
        assert_ne!(late, next);
        assert_eq!(slab.remove(late), None);
        assert_eq!(slab.remove(next), Some("b"));
    }

    #[test]
    fn slots_are_used_again() {
        let mut slab = Slab::new();
        for _ in 0..100 {
            let key = slab.insert(());
            slab.remove(key);
        }
        assert_eq!(slab.slots.len(), 1);
        assert_eq!(slab.remove(u64::MAX), None, "a key from nowhere");
    }
}
