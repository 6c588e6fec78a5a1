use resnet_network::{Arch, network::Init};
use resnet_program::Targets;

use super::*;
use crate::Rule;

const SETTINGS: Settings = Settings {
    dtype: Dtype::Fp32,
    batch: 2,
    eval_batch: 2,
    height: 8,
    width: 8,
    buffers: 1,
    muon: false,
    norm_momentum: 0.1,
    average: false,
};

fn step(gpu: &Gpu, settings: &Settings) -> Vec<f32> {
    let arch: Arch = "resnet8".parse().unwrap();
    let net = Network::new(arch.graph_with(3, 10, 4), Init::PyTorch, 1);
    let mut engine = GpuEngine::new(gpu, &net, settings).unwrap();
    let x: Vec<f32> = (0..2 * 3 * 8 * 8).map(|i| (i * 31 % 97) as f32 / 50.0).collect();
    let targets = Targets::labels(&[1, 2], 0.0);
    engine.backward(MicroBatch::whole(Input::Nchw(&x), targets), false).unwrap();
    engine.timed_backward(MicroBatch::whole(Input::Nchw(&x), targets)).unwrap();
    engine.gradients().unwrap()
}

/// In how many buffers activations are, and in how many submissions a step is, changes nothing.
#[test]
fn portions_change_no_bit() {
    let Ok(gpu) = Gpu::open(0) else {
        eprintln!("no device: nothing is tested");
        return;
    };
    let want = step(&gpu, &SETTINGS);
    assert!(want.iter().any(|gradient| *gradient != 0.0));
    let mut small = gpu.clone();
    small.portions.chunk = 20_000;
    small.portions.submission = [100_000, 100_000];
    assert_eq!(step(&small, &SETTINGS), want);
}

/// A device that goes away is an error of every call from then on, not a panic or a wait.
#[test]
fn a_lost_device_is_an_error() {
    let Ok(gpu) = Gpu::open(0) else {
        eprintln!("no device: nothing is tested");
        return;
    };
    let arch: Arch = "resnet8".parse().unwrap();
    let net = Network::new(arch.graph_with(3, 10, 4), Init::PyTorch, 1);
    let mut engine = GpuEngine::new(&gpu, &net, &SETTINGS).unwrap();
    let x = vec![0.5; 2 * 3 * 8 * 8];
    let labels = [1, 2];
    let batch = || MicroBatch::whole(Input::Nchw(&x), Targets::labels(&labels, 0.0));
    engine.backward(batch(), false).unwrap();
    assert!(!gpu.is_lost());
    gpu.device().destroy();
    let _ = engine.backward(batch(), false);
    while engine.outstanding() > 0 {
        // The first may have been done before.
        let _ = engine.result();
    }
    let lost = |result: Result<(), GpuError>| {
        let error = result.unwrap_err();
        assert!(matches!(error, GpuError::Lost { .. }), "{error}");
    };
    lost(engine.backward(batch(), false));
    lost(engine.update(Rule::Sgd { momentum: 0.9, nesterov: false }, &[]));
    lost(engine.evaluate(false, Input::Nchw(&x), 2).map(drop));
    let (mut network, mut buffers) = (net.clone(), [vec![0.0; net.values().len()]]);
    lost(engine.download(&mut network, &mut buffers, None));
    assert_eq!(network.values(), net.values());
    lost(GpuEngine::new(&gpu, &net, &SETTINGS).map(drop));
    assert!(gpu.is_lost());
    assert!(!Gpu::open(0).unwrap().is_lost(), "it can be opened again");
}

/// What was found first stays the reason, of every clone.
#[test]
fn a_device_that_was_found_lost_stays_so() {
    let Ok(gpu) = Gpu::open(0) else {
        eprintln!("no device: nothing is tested");
        return;
    };
    let clone = gpu.clone();
    let first = gpu.lost("it does not answer".to_owned());
    assert!(clone.is_lost());
    assert_eq!(clone.lost("its driver gave up".to_owned()), first);
    assert_eq!(clone.idle(), Err(first));
}
