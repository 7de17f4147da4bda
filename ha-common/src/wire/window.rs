//! Bounded reads: the only way in which the parser sees a frame.

/// A frame of known length.
///
/// The kernel program implements it over the packet pointers of XDP, everyone
/// else uses [`SliceWindow`].
///
/// An implementation for the kernel has to hide from LLVM how it comes by the
/// end of a read (an addition in inline assembly does): in a loop LLVM turns
/// `start + N > end` into a comparison with `end + 1`, and the verifier allows
/// no arithmetic on the end of a packet.
pub trait Window {
    /// `N` octets at `offset`, or `None` if the frame ends before.
    fn bytes_at<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;
}

/// A frame in memory.
#[derive(Clone, Copy, Debug)]
pub struct SliceWindow<'a>(pub &'a [u8]);

impl Window for SliceWindow<'_> {
    #[inline]
    fn bytes_at<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.0.get(offset..)?.first_chunk().copied()
    }
}
