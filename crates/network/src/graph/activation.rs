//! Activation functions.

/// The activation functions of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `torch.nn.ReLU`, the paper's.
    #[default]
    Relu,
    /// `torch.nn.GELU` (Hendrycks and Gimpel 2016).
    Gelu,
    /// `torch.nn.GELU(approximate="tanh")`.
    GeluTanh,
    /// `torch.nn.SiLU` (Elfwing et al. 2017).
    Silu,
}

impl Activation {
    /// All of them.
    pub const ALL: [Activation; 4] =
        [Activation::Relu, Activation::Gelu, Activation::GeluTanh, Activation::Silu];

    /// Its short name, as in names of architectures.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Relu => "relu",
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelutanh",
            Activation::Silu => "silu",
        }
    }

    /// The start of the names of its modules.
    pub fn module(self) -> &'static str {
        match self {
            Activation::GeluTanh => Activation::Gelu.name(),
            other => other.name(),
        }
    }
}
