// dst[c] = mean over p of src[p, c]: global average pool.
// One workgroup computes 16 groups of four channels; each of its 16 rows of invocations sums every 16th pixel.

alias Scalar = f32;              // storage of src; sums and dst are f32
const PIXELS: u32 = 49u;         // of one picture's map
const C4: u32 = 3u;              // groups of four channels
const_assert PIXELS >= 1u && C4 >= 1u;

@group(0) @binding(0) var<storage, read> src: array<vec4<Scalar>>;     // [batch, PIXELS, C4]
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<f32>>;  // [batch, C4]

var<workgroup> partial: array<vec4<f32>, 256>;  // [row, 16]

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let c = (group.y * groups.x + group.x) * 16u + lane % 16u;
    let row = lane / 16u;
    var sum = vec4<f32>(0.0);
    if c < C4 {
        for (var p = row; p < PIXELS; p += 16u) {
            sum += vec4<f32>(src[(group.z * PIXELS + p) * C4 + c]);
        }
    }
    partial[lane] = sum;
    for (var rows = 8u; rows > 0u; rows /= 2u) {
        workgroupBarrier();
        if row < rows {
            partial[lane] += partial[lane + rows * 16u];
        }
    }
    if (row == 0u) & (c < C4) {
        dst[group.z * C4 + c] = partial[lane] / f32(PIXELS);
    }
}
