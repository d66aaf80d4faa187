//! The minute of one (project, model): a coalesced sliding log of requests and tokens. Pure.
//!
//! Calls that are admitted close together share a cell, and a cell leaves the window when its last
//! call does: never too early, and the log stays small whatever the limit.

use std::collections::VecDeque;

use crate::limit::Millis;

/// What a provider calls a minute.
pub(crate) const MINUTE: Millis = 60_000;
/// Added to the minute, for calls that take different times to arrive.
const GUARD: Millis = 1_000;
/// The window that is counted.
pub(crate) const WINDOW: Millis = MINUTE + GUARD;
/// A cell takes calls for this long, so that the window never has more than 64.
const CELL: Millis = WINDOW / 63;

/// Calls that were admitted close together. The narrow types are those of the stored record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    /// When its last call was admitted.
    pub(crate) last: Millis,
    pub(crate) requests: u16,
    pub(crate) tokens: u32,
}

/// See the module. The totals are those of the cells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    /// When the newest cell was begun.
    pub(crate) begun: Millis,
    /// Oldest first.
    pub(crate) cells: VecDeque<Cell>,
    pub(crate) requests: u32,
    pub(crate) tokens: u64,
}

impl Window {
    /// Drops what has left the window.
    pub(crate) fn advance(&mut self, now: Millis) {
        while let Some(cell) = self.cells.front().filter(|cell| cell.last + WINDOW <= now) {
            self.requests -= u32::from(cell.requests);
            self.tokens -= u64::from(cell.tokens);
            self.cells.pop_front();
        }
    }

    pub(crate) fn book(&mut self, now: Millis, requests: u16, tokens: u32) {
        self.requests += u32::from(requests);
        self.tokens += u64::from(tokens);
        if now.saturating_sub(self.begun) <= CELL
            && let Some(cell) = self.cells.back_mut()
            && let Some(requests) = cell.requests.checked_add(requests)
            && let Some(tokens) = cell.tokens.checked_add(tokens)
        {
            *cell = Cell { last: now, requests, tokens };
        } else {
            self.begun = now;
            self.cells.push_back(Cell { last: now, requests, tokens });
        }
    }

    /// Books calls of the past: into the cell that still stands then, so that they leave with it at
    /// the earliest when they are due.
    pub(crate) fn insert(&mut self, at: Millis, requests: u16, tokens: u32) {
        let room = |cell: &&mut Cell| {
            cell.last >= at
                && cell.requests.checked_add(requests).is_some()
                && cell.tokens.checked_add(tokens).is_some()
        };
        match self.cells.iter_mut().find(room) {
            Some(cell) => {
                cell.requests += requests;
                cell.tokens += tokens;
                self.requests += u32::from(requests);
                self.tokens += u64::from(tokens);
            }
            None => self.book(self.last().map_or(at, |last| last.max(at)), requests, tokens),
        }
    }

    /// Takes back from the cell that holds a call, unless the call has left the window.
    pub(crate) fn give_back(&mut self, now: Millis, taken_at: Millis, requests: u16, tokens: u32) {
        if taken_at + WINDOW <= now {
            return;
        }
        // most calls are young: from the back
        let place = self.cells.iter().rposition(|cell| cell.last < taken_at).map_or(0, |older| older + 1);
        if let Some(cell) = self.cells.get_mut(place) {
            let (requests, tokens) = (requests.min(cell.requests), tokens.min(cell.tokens));
            cell.requests -= requests;
            cell.tokens -= tokens;
            self.requests -= u32::from(requests);
            self.tokens -= u64::from(tokens);
        }
    }

    /// When so many requests and tokens will have left; `None` if there are not so many.
    pub(crate) fn freed_at(&self, requests: u64, tokens: u64) -> Option<Millis> {
        let (mut freed_requests, mut freed_tokens) = (0, 0);
        for cell in &self.cells {
            freed_requests += u64::from(cell.requests);
            freed_tokens += u64::from(cell.tokens);
            if freed_requests >= requests && freed_tokens >= tokens {
                return Some(cell.last + WINDOW);
            }
        }
        None
    }

    /// When the last call was booked.
    pub(crate) fn last(&self) -> Option<Millis> {
        self.cells.back().map(|cell| cell.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_leaves_with_its_last_call() {
        let mut window = Window::default();
        window.book(0, 1, 10);
        window.book(CELL, 1, 10);
        window.book(CELL + 1, 1, 10);
        assert_eq!(window.cells.len(), 2);
        window.advance(WINDOW + CELL - 1);
        assert_eq!((window.requests, window.tokens), (3, 30));
        window.advance(WINDOW + CELL);
        assert_eq!((window.requests, window.tokens), (1, 10));
    }

    #[test]
    fn any_load_fits_into_64_cells() {
        let mut window = Window::default();
        let mut most = 0;
        for now in (0..10 * WINDOW).step_by(7) {
            window.advance(now);
            window.book(now, 1, 1);
            most = most.max(window.cells.len());
        }
        assert_eq!(most, 64);
    }

    #[test]
    fn a_full_cell_is_followed_by_another() {
        let mut window = Window::default();
        window.book(5, u16::MAX, 1);
        window.book(5, 1, u32::MAX);
        assert_eq!(window.cells.len(), 2);
        assert_eq!((window.requests, window.tokens), (65_536, u64::from(u32::MAX) + 1));
    }

    #[test]
    fn calls_of_the_past_stay_until_they_are_due_at_least() {
        let mut window = Window::default();
        window.insert(1_000, 2, 20);
        window.insert(5_000, 1, 10);
        window.insert(3_000, 4, 40); // from another process; no cell ends at that time
        window.insert(3_000, u16::MAX, 1); // no room beside the others
        let ends: Vec<_> = window.cells.iter().map(|cell| (cell.last, cell.requests)).collect();
        assert_eq!(ends, [(1_000, 2), (5_000, 5), (5_000, u16::MAX)]);
        assert_eq!((window.requests, window.tokens), (7 + 65_535, 71));
        window.advance(5_000 + WINDOW - 1);
        assert_eq!(window.requests, 5 + 65_535);
    }

    #[test]
    fn a_call_that_has_left_gives_nothing_back() {
        let mut window = Window::default();
        window.book(0, 1, 10);
        window.book(500, 1, 10); // keeps the cell alive longer than the first call
        window.give_back(WINDOW, 0, 1, 10);
        assert_eq!(window.requests, 2);
        window.give_back(WINDOW, 500, 1, 4);
        assert_eq!((window.requests, window.tokens), (1, 16));
    }
}
