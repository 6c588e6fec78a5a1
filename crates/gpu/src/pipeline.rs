//! Compiled shaders.

/// A compiled shader, and the layout of its bindings.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) pipeline: wgpu::ComputePipeline,
    pub(crate) layout: wgpu::BindGroupLayout,
}

/// Words that a dispatch passes: `n` and seven integers, the last of which says whether to accumulate, then four floats.
pub(crate) const WORDS: usize = 12;

/// Compiles the text of a shader.
///
/// # Errors
/// Why the driver, or wgpu for it, does not compile the text.
pub(crate) fn compile(
    device: &wgpu::Device,
    label: &str,
    text: &str,
    bindings: usize,
) -> Result<Pipeline, String> {
    use wgpu::ErrorFilter as Filter;
    let scopes = [Filter::Validation, Filter::Internal].map(|of| device.push_error_scope(of));
    let entries: Vec<_> = (0..bindings as u32)
        .map(|binding| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only: false },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        })
        .collect();
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(label),
        entries: &entries,
    });
    let of_pipeline = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(label),
        bind_group_layouts: &[Some(&layout)],
        immediate_size: (WORDS * 4) as u32,
    });
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(label),
        source: wgpu::ShaderSource::Wgsl(text.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(label),
        layout: Some(&of_pipeline),
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions {
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        },
        cache: None,
    });
    // Scopes are a stack.
    for scope in scopes.into_iter().rev() {
        if let Some(error) = pollster::block_on(scope.pop()) {
            return Err(format!("its driver does not take the kernel {label}: {error}"));
        }
    }
    Ok(Pipeline { pipeline, layout })
}
