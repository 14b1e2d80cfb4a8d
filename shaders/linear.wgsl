// dst[o] = act(bias[o] + sum over i of src[i] * weights[i, o]): a linear layer on one vector per picture.
// One workgroup computes 16 groups of four outputs; each of its 16 rows of invocations sums every 16th input.

alias Scalar = f32;              // storage of weights; dst and sums are f32
alias Src = f32;                 // storage of src
const SRC_C4: u32 = 5u;          // groups of four inputs
const DST_C4: u32 = 2u;          // groups of four outputs
const_assert SRC_C4 >= 1u && DST_C4 >= 1u;

@group(0) @binding(0) var<storage, read> src: array<vec4<Src>>;           // [batch, SRC_C4]
@group(0) @binding(1) var<storage, read> weights: array<vec4<Scalar>>;    // [SRC_C4, 4, DST_C4]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;          // [DST_C4]
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<f32>>;     // [batch, DST_C4]

var<workgroup> partial: array<vec4<f32>, 256>;  // [row, 16]

fn read_weights(i: u32, lane: u32, o: u32) -> vec4<f32> {
    return vec4<f32>(weights[(i * 4u + lane) * DST_C4 + o]);
}

// max(x, 0), the default, of the channels from 4 * c on; NaN passes. Another activation takes its place as a whole.
fn act(x: vec4<f32>, c: u32) -> vec4<f32> {
    let negative = bitcast<vec4<u32>>(x) - vec4<u32>(0x80000000u) <= vec4<u32>(0x7f800000u);
    let y = select(x, vec4<f32>(0.0), negative);
    return y;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let o = (group.y * groups.x + group.x) * 16u + lane % 16u;
    let row = lane / 16u;
    var sum = vec4<f32>(0.0);
    if o < DST_C4 {
        for (var i = row; i < SRC_C4; i += 16u) {
            let x = vec4<f32>(src[group.z * SRC_C4 + i]);
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
        dst[group.z * DST_C4 + o] = act(partial[lane] + bias[o], o);
    }
}
