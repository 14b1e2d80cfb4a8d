// dst[o] = bias[o] + sum over i of features[i] * weights[i, o], features[i] = mean over p of src[p, i]: pool and classifier.
// One workgroup pools all channels into workgroup memory and computes 16 groups of four outputs; each of its 16 rows
// of invocations sums every 16th input. The first workgroup writes the features.

alias Scalar = f32;              // storage of src and weights; vectors and sums are f32
const PIXELS: u32 = 49u;         // of one picture's map
const SRC_C4: u32 = 5u;          // groups of four channels
const DST_C4: u32 = 2u;          // groups of four classes
const DST_C: u32 = 7u;           // classes; what lies behind is padding
const_assert PIXELS >= 1u && SRC_C4 >= 1u && DST_C4 * 4u >= DST_C && DST_C4 * 4u < DST_C + 4u;

@group(0) @binding(0) var<storage, read> src: array<vec4<Scalar>>;            // [batch, PIXELS, SRC_C4]
@group(0) @binding(1) var<storage, read> weights: array<vec4<Scalar>>;        // [SRC_C4, 4, DST_C4]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;              // [DST_C4]
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<f32>>;         // [batch, DST_C4]
@group(0) @binding(4) var<storage, read_write> features: array<vec4<f32>>;    // [batch, SRC_C4]

var<workgroup> pooled: array<vec4<f32>, SRC_C4>;
var<workgroup> partial: array<vec4<f32>, 256>;  // [row, 16]

fn read_weights(i: u32, lane: u32, o: u32) -> vec4<f32> {
    return vec4<f32>(weights[(i * 4u + lane) * DST_C4 + o]);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = group.y * groups.x + group.x;
    for (var i = lane; i < SRC_C4; i += 256u) {
        var sum = vec4<f32>(0.0);
        for (var p = 0u; p < PIXELS; p++) {
            sum += vec4<f32>(src[(group.z * PIXELS + p) * SRC_C4 + i]);
        }
        let mean = sum / f32(PIXELS);
        pooled[i] = mean;
        if block == 0u {
            features[group.z * SRC_C4 + i] = mean;
        }
    }
    workgroupBarrier();
    let o = block * 16u + lane % 16u;
    let row = lane / 16u;
    var sum = vec4<f32>(0.0);
    if o < DST_C4 {
        for (var i = row; i < SRC_C4; i += 16u) {
            let x = pooled[i];
            sum += x.x * read_weights(i, 0u, o) + x.y * read_weights(i, 1u, o)
                + x.z * read_weights(i, 2u, o) + x.w * read_weights(i, 3u, o);
        }
    }
    partial[lane] = sum;
    for (var rows = 8u; rows > 0u; rows /= 2u) {
        workgroupBarrier();
        if row < rows {
            partial[lane] += partial[lane + rows * 16u];
        }
    }
    if (row == 0u) & (o < DST_C4) {
        let real = vec4<u32>(o * 4u) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(DST_C);
        dst[group.z * DST_C4 + o] = select(vec4<f32>(0.0), partial[lane] + bias[o], real);
    }
}
