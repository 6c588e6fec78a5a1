//! What happens to the sums of a convolution on their way to memory.

/// `relu(sum + bias + residual)`.
#[derive(Debug)]
pub struct Epilogue<'a, E> {
    /// A value for each stored output channel.
    pub bias: Option<&'a [f32]>,
    /// A tensor like the output.
    pub residual: Option<&'a [E]>,
    /// Adds to what the output holds.
    pub accumulate: bool,
    /// Cuts negative values off.
    pub relu: bool,
}

impl<E> Epilogue<'_, E> {
    /// Stores the plain sums.
    pub const STORE: Self = Epilogue { bias: None, residual: None, accumulate: false, relu: false };
    /// Adds the sums to the output.
    pub const ACCUMULATE: Self =
        Epilogue { bias: None, residual: None, accumulate: true, relu: false };
}
