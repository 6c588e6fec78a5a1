//! Activations in several buffers.

use resnet_program::program::Span;

use crate::{
    GpuError,
    buffer::{Allocator, View},
};

/// The buffer of a program's values or of their gradients, in chunks: devices limit the size of a buffer. No value
/// crosses from one chunk into the next.
#[derive(Debug)]
pub(crate) struct Chunks {
    /// The first value of each, and its buffer.
    all: Vec<(usize, wgpu::Buffer)>,
    /// Bytes of a value.
    size: usize,
}

impl Chunks {
    /// Chunks for a buffer of `len` values with these places, of which some overlap; those of `kept` where they are large
    /// enough.
    pub(crate) fn new(
        allocator: &Allocator<'_>,
        label: &str,
        mut places: Vec<Span>,
        (len, size): (usize, usize),
        most: u64,
        kept: Option<Chunks>,
    ) -> Result<Chunks, GpuError> {
        places.sort_by_key(|place| place.start);
        let (mut starts, mut end) = (vec![0], 0);
        for place in places {
            let first = starts.last().copied().unwrap_or(0);
            if place.start >= end
                && ((place.end - first) * size) as u64 > most
                && place.start > first
            {
                starts.push(place.start);
            }
            end = place.end.max(end);
        }
        let ends = starts.iter().copied().skip(1).chain([len]);
        let mut kept = kept.map_or_else(Vec::new, |kept| kept.all).into_iter();
        let mut all = Vec::with_capacity(starts.len());
        for (&start, end) in starts.iter().zip(ends) {
            let bytes = (end - start) * size;
            let kept = kept.next().filter(|(_, buffer)| buffer.size() >= bytes as u64);
            let buffer = match kept {
                Some((_, buffer)) => buffer,
                None => allocator.chunk(label, bytes)?,
            };
            all.push((start, buffer));
        }
        Ok(Chunks { all, size })
    }

    /// One buffer, of values of `size` bytes.
    pub(crate) fn one(buffer: wgpu::Buffer, size: usize) -> Chunks {
        Chunks { all: vec![(0, buffer)], size }
    }

    /// A place of the buffer.
    pub(crate) fn view(&self, place: &Span) -> View {
        let index = self.all.partition_point(|(start, _)| *start <= place.start) - 1;
        let (first, buffer) = &self.all[index];
        View::part(buffer, &(place.start - first..place.end - first), self.size)
    }
}
