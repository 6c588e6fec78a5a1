// What a dispatch passes: images, and what each kernel makes of the rest.
struct Words {
    n: u32, a: u32, b: u32, c: u32, d: u32, e: u32, f: u32, g: u32,
    x: f32, y: f32, z: f32, w: f32,
}
var<immediate> words: Words;

fn from_bf16(v: vec2<u32>) -> vec4<f32> {
    let high = vec2<u32>(0xffff0000u);
    let even = bitcast<vec2<f32>>(v << vec2<u32>(16u));
    let odd = bitcast<vec2<f32>>(v & high);
    return vec4<f32>(even.x, odd.x, even.y, odd.y);
}

// By bits: compilers may assume that there is no NaN.
fn is_nan(v: vec4<f32>) -> vec4<bool> {
    return (bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
}

// To nearest, ties to even; NaN stays.
fn to_bf16(v: vec4<f32>) -> vec2<u32> {
    let bits = bitcast<vec4<u32>>(v);
    let rounded = bits + vec4<u32>(0x7fffu) + (bits >> vec4<u32>(16u) & vec4<u32>(1u));
    let short = select(rounded, bits | vec4<u32>(0x400000u), is_nan(v)) >> vec4<u32>(16u);
    return vec2<u32>(short.x | short.y << 16u, short.z | short.w << 16u);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    run(group.y * groups.x + group.x, group.z, lid);
}
