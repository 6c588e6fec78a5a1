use resnet_kernels::{Cpu, Dtype, Isa};

use crate::testing::on_every_isa;

/// Prints what this machine covers, for logs: `cargo test -p resnet-kernels -- --nocapture
/// instruction_sets`. Fails if a set that `RESNET_TEST_ISA` names did not run.
#[test]
fn instruction_sets() {
    let ran = std::sync::Mutex::new(Vec::new());
    on_every_isa(|cpu| ran.lock().unwrap().push(cpu.isa().name()));
    let ran = ran.into_inner().unwrap();
    println!("instruction sets under test: {}", ran.join(", "));
    assert!(ran.contains(&"portable"));
    let wanted = std::env::var("RESNET_TEST_ISA").unwrap_or_default();
    let here: Vec<_> = Isa::available().into_iter().map(Isa::name).collect();
    for name in wanted.split(',').filter(|name| !name.is_empty()) {
        let names = if name == "all" { &here[..] } else { &[name][..] };
        assert!(names.iter().all(|name| ran.contains(name)), "{name} did not run");
    }
}

#[test]
fn the_fastest_dtype_has_its_products() {
    for isa in Isa::to_test() {
        let cpu = Cpu::with_isa(1, isa).unwrap();
        let fastest = Dtype::fastest(&cpu);
        assert_eq!(fastest == Dtype::Bf16, isa.name() == "avx512-bf16");
        for dtype in Dtype::ALL {
            let text = dtype.reason(&cpu);
            assert!(text.starts_with(&format!("{isa} has ")), "{text}");
            assert_eq!(text.contains("would be faster"), dtype != fastest, "{text}");
            assert_eq!(text.contains("has no"), fastest == Dtype::Fp32, "{text}");
        }
    }
}
