// dst[p, c] = act(join(src[p, c], other[p, c])): the sum, difference, product or quotient of two inputs.
// One invocation computes four channels of one pixel; its neighbours take the next channels.

alias Scalar = f32;              // storage of src and dst
alias Other = f32;               // storage of the second input
const PIXELS: u32 = 49u;         // of one picture's map
const C4: u32 = 3u;              // groups of four channels
const EACH: bool = true;         // whether other is a map; else a vector, which meets every pixel
const_assert PIXELS >= 1u && C4 >= 1u;

@group(0) @binding(0) var<storage, read> src: array<vec4<Scalar>>;        // [batch, PIXELS, C4]
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<Scalar>>;  // [batch, PIXELS, C4]
@group(0) @binding(4) var<storage, read> other: array<vec4<Other>>;       // [batch, PIXELS, C4], or [batch, C4]

// The sum, the default; another takes its place as a whole.
fn join(a: vec4<f32>, b: vec4<f32>, c: u32) -> vec4<f32> {
    return a + b;
}

// max(x, 0), the default, of the channels from 4 * c on; NaN passes. Another activation takes its place as a whole.
fn act(x: vec4<f32>, c: u32) -> vec4<f32> {
    let negative = bitcast<vec4<u32>>(x) - vec4<u32>(0x80000000u) <= vec4<u32>(0x7f800000u);
    let y = select(x, vec4<f32>(0.0), negative);
    return y;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let id = (group.y * groups.x + group.x) * 64u + lane;
    if id >= PIXELS * C4 {
        return;
    }
    let at = group.z * PIXELS * C4 + id;
    let c = id % C4;
    let second = select(group.z * C4 + c, at, EACH);
    let x = join(vec4<f32>(src[at]), vec4<f32>(other[second]), c);
    dst[at] = vec4<Scalar>(act(x, c));
}
