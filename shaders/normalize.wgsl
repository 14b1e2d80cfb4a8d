// dst[y, x] = (pixel / 255 - mean) / std; pixel = src[y - top, x - left] where there is one, else the padding's colour.
// One invocation computes one pixel of the input: three channels and a fourth that is 0.

alias Scalar = f32;           // of dst
const INVOCATIONS: u32 = 64u; // of a workgroup

struct Normalize {
    width: u32,   // of the input
    height: u32,
    left: u32,    // columns of padding before src
    top: u32,     // rows of padding above src
    columns: u32, // of src
    rows: u32,
    fill: u32,    // the padding's colour, packed as src is
    start: u32,   // the pixel of dst at which this picture begins
    mean: vec4<f32>,
    deviation: vec4<f32>, // standard
}

@group(0) @binding(0) var<storage, read> src: array<u32>;                // [rows, columns], RGBA from the low byte up
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<Scalar>>; // [batch, height, width]
@group(0) @binding(4) var<uniform> input: Normalize;

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = (group.x + group.y * groups.x) * INVOCATIONS + local;
    if index >= input.width * input.height { return; }
    // Left of src or above it, these wrap round and are no smaller than columns or rows.
    let column = index % input.width - input.left;
    let row = index / input.width - input.top;

    var pixel = input.fill;
    if (column < input.columns) & (row < input.rows) { pixel = src[row * input.columns + column]; }
    let bytes = vec4<f32>((vec4<u32>(pixel) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u));
    let normal = (bytes / 255.0 - input.mean) / input.deviation;
    dst[input.start + index] = vec4<Scalar>(vec4<f32>(normal.xyz, 0.0));
}
