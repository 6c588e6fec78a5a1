//! Attributes of nodes.

use resnet_formats::onnx::{Attribute, Node};

/// Of what is wrong with a node.
pub(super) type Result<T, E = String> = std::result::Result<T, E>;

/// A square window.
pub(super) struct Window {
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
}

impl Window {
    /// Of a convolution or a pool; the shape of a weight says the former's size.
    pub(super) fn of(node: &Node, weight: Option<[usize; 2]>) -> Result<Window> {
        if int(node, "ceil_mode").unwrap_or(0) != 0 {
            return Err("its window reaches beyond the image (ceil_mode)".into());
        }
        Window::of_any(node, weight)
    }

    /// With or without `ceil_mode`.
    pub(super) fn of_any(node: &Node, weight: Option<[usize; 2]>) -> Result<Window> {
        let all = |name: &str, default: i64| -> Result<usize> {
            let values = ints(node, name).unwrap_or(&[]);
            let first = values.first().copied().unwrap_or(default);
            let same = values.iter().all(|&value| value == first);
            let first = usize::try_from(first).ok().filter(|&n| same && n < 1 << 16);
            first.ok_or_else(|| format!("its {name} are {values:?}, which no window here has"))
        };
        let kernel = match weight {
            Some([rows, columns]) if rows == columns => rows,
            Some([rows, columns]) => return Err(format!("its window is {rows}x{columns}")),
            None => all("kernel_shape", 0)?,
        };
        if ints(node, "kernel_shape").is_some_and(|s| s.iter().any(|&side| side != kernel as i64)) {
            return Err("its window is not as large as its weight".into());
        }
        let dilation = all("dilations", 1)?;
        if dilation != 1 {
            return Err(format!("its window is dilated by {dilation}"));
        }
        let auto = node.attributes.iter().find(|(name, _)| name == "auto_pad");
        if let Some((_, Attribute::Text(auto))) = auto
            && auto != "NOTSET"
        {
            return Err(format!("its padding is {auto}: export it with explicit pads"));
        }
        let (stride, padding) = (all("strides", 1)?, all("pads", 0)?);
        Ok(Window { kernel, stride, padding })
    }
}

pub(super) fn attribute<'n>(node: &'n Node, name: &str) -> Option<&'n Attribute> {
    node.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value)
}

pub(super) fn int(node: &Node, name: &str) -> Option<i64> {
    if let Some(Attribute::Int(value)) = attribute(node, name) { Some(*value) } else { None }
}

pub(super) fn ints<'n>(node: &'n Node, name: &str) -> Option<&'n [i64]> {
    if let Some(Attribute::Ints(values)) = attribute(node, name) { Some(values) } else { None }
}

pub(super) fn float(node: &Node, name: &str) -> Option<f32> {
    if let Some(Attribute::Float(value)) = attribute(node, name) { Some(*value) } else { None }
}
