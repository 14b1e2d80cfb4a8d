// dst[p, c] = the channels of one input after those of the other, of two inputs or of more.
// One invocation computes four channels of one pixel; its neighbours take the next channels.

alias Scalar = f32;              // storage of dst
alias Src0 = f32;                // storage of the first input
alias Src1 = f32;                // storage of the second
const PIXELS: u32 = 49u;         // of one picture's map
const C4: u32 = 4u;              // groups of four channels written
const_assert PIXELS >= 1u && C4 >= 1u;

@group(0) @binding(3) var<storage, read_write> dst: array<vec4<Scalar>>;  // [batch, PIXELS, C4]

@group(0) @binding(0) var<storage, read> src0: array<vec4<Src0>>;         // [batch, PIXELS, 2]
@group(0) @binding(4) var<storage, read> src1: array<vec4<Src1>>;         // [batch, PIXELS, 2]

// Four channels of a pixel, from 4 * c on; the text for other inputs takes its place as a whole, with their bindings.
fn read_src(pixel: u32, c: u32) -> vec4<f32> {
    if c < 2u {
        return vec4<f32>(src0[pixel * 2u + c]);
    }
    return vec4<f32>(src1[pixel * 2u + c - 2u]);
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
    dst[group.z * PIXELS * C4 + id] = vec4<Scalar>(read_src(group.z * PIXELS + id / C4, id % C4));
}
