//! Text that knows where in the files its octets come from, also after
//! parameters were put in.

use std::ops::Range;

/// Text and the origin of each octet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::config::keepalived) struct Text {
    text: String,
    /// In the order of `at`; the first begins at 0, each reaches to the next.
    pieces: Vec<Piece>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Piece {
    /// Where in the text it begins.
    at: usize,
    /// The octets of the files that it stands for.
    origin: Range<usize>,
    /// Whether it is them, octet for octet, or stands in their place.
    verbatim: bool,
}

impl Text {
    /// The octets of a file from `offset` on.
    pub(in crate::config::keepalived) fn verbatim(text: &str, offset: usize) -> Self {
        let mut new = Self::default();
        new.push_piece(text, offset..offset + text.len(), true);
        new
    }

    /// `text` in the place of what stands at `origin`.
    pub(super) fn replacing(text: &str, origin: Range<usize>) -> Self {
        let mut new = Self::default();
        new.push_piece(text, origin, false);
        new
    }

    pub(in crate::config::keepalived) fn as_str(&self) -> &str {
        &self.text
    }

    /// The part of it at `range`.
    pub(in crate::config::keepalived) fn part(&self, range: Range<usize>) -> Self {
        let mut new = Self::default();
        new.push(self, range);
        new
    }

    /// Appends the part of `other` at `range`.
    pub(super) fn push(&mut self, other: &Self, range: Range<usize>) {
        let first = other.piece_at(range.start);
        for (place, piece) in other.pieces.iter().enumerate().skip(first) {
            if piece.at >= range.end {
                break;
            }
            let piece_end = other
                .pieces
                .get(place + 1)
                .map_or(other.text.len(), |next| next.at);
            let from = piece.at.max(range.start);
            let to = piece_end.min(range.end);
            if from >= to {
                continue;
            }
            let origin = if piece.verbatim {
                piece.origin.start + (from - piece.at)..piece.origin.start + (to - piece.at)
            } else {
                piece.origin.clone()
            };
            self.push_piece(&other.text[from..to], origin, piece.verbatim);
        }
    }

    fn push_piece(&mut self, text: &str, origin: Range<usize>, verbatim: bool) {
        if text.is_empty() {
            return;
        }
        let at = self.text.len();
        self.text.push_str(text);
        // What was cut in two and is joined again is one piece.
        if let Some(last) = self.pieces.last_mut()
            && verbatim
            && last.verbatim
            && last.origin.end == origin.start
        {
            last.origin.end = origin.end;
            return;
        }
        self.pieces.push(Piece {
            at,
            origin,
            verbatim,
        });
    }

    /// The octets of the files that the part at `range` comes from: from the
    /// first to the last of them, as far as those stand in this order.
    pub(in crate::config::keepalived) fn span(&self, range: Range<usize>) -> Range<usize> {
        let Some(first) = self.pieces.get(self.piece_at(range.start)) else {
            return 0..0;
        };
        let start = if first.verbatim {
            first.origin.start + (range.start - first.at)
        } else {
            first.origin.start
        };
        let Some(inner) = range.end.checked_sub(1).filter(|_| !range.is_empty()) else {
            return start..start;
        };
        let last = &self.pieces[self.piece_at(inner)];
        let end = if last.verbatim {
            last.origin.start + (range.end - last.at)
        } else {
            last.origin.end
        };
        if end >= start {
            start..end
        } else {
            start..first.origin.end.max(start)
        }
    }

    /// All of it.
    pub(in crate::config::keepalived) fn whole(&self) -> Range<usize> {
        self.span(0..self.text.len())
    }

    /// The place of the piece that the octet `at` is in; the last for what is
    /// behind the end.
    fn piece_at(&self, at: usize) -> usize {
        let behind = self.pieces.partition_point(|piece| piece.at <= at);
        behind.saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_their_origin() {
        let line = Text::verbatim("priority $P end", 100);
        let mut put = line.part(0..9);
        put.push(&Text::replacing("200", 109..111), 0..3);
        put.push(&line, 11..15);
        assert_eq!(put.as_str(), "priority 200 end");
        assert_eq!(put.span(0..8), 100..108);
        assert_eq!(put.span(9..12), 109..111);
        assert_eq!(put.span(10..11), 109..111);
        assert_eq!(put.span(13..16), 112..115);
        assert_eq!(put.whole(), 100..115);
        assert_eq!(put.part(9..16).span(4..7), 112..115);
        assert_eq!(put.part(3..3).whole(), 0..0);
    }

    #[test]
    fn what_comes_from_elsewhere_points_at_its_beginning() {
        let mut line = Text::verbatim("ab", 500);
        line.push(&Text::verbatim("cd", 7), 0..2);
        assert_eq!(line.span(1..3), 501..502);
        assert_eq!(line.span(2..4), 7..9);
    }

    #[test]
    fn what_is_cut_and_joined_is_whole_again() {
        let line = Text::verbatim("abcd", 10);
        let mut joined = line.part(0..2);
        joined.push(&line, 2..4);
        assert_eq!(joined, line);
    }
}
