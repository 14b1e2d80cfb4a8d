// dst[i] = (c, values[c]) of the i-th largest src[c]; with SOFTMAX the value is exp(src[c]) / sum over j of exp(src[j]).
// One workgroup answers for one picture, a round for each; ties go to the lower channel.

alias Src = f32;                 // storage of src
const C: u32 = 7u;               // channels
const C4: u32 = 2u;              // groups of four of them
const TOP: u32 = 3u;             // the largest that are written
const SOFTMAX: bool = true;      // whether values are the softmax; else they are src; of a single channel its sigmoid
const_assert C >= 1u && C4 * 4u >= C && C4 * 4u < C + 4u;
const_assert TOP >= 1u && TOP <= C;

@group(0) @binding(0) var<storage, read> src: array<Src>;               // [batch, C4 * 4]
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<f32>>;   // [batch, TOP], of which x and y count

const NONE: u32 = 0xffffffffu;

var<workgroup> values: array<f32, 256>;
var<workgroup> counts: array<u32, 256>;

// By bits: compilers may assume that NaN does not occur.
fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

// The sum of every invocation's x, the same in all of them.
fn total(lane: u32, x: f32) -> f32 {
    workgroupBarrier();
    values[lane] = x;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            values[lane] += values[lane + half];
        }
    }
    workgroupBarrier();
    return values[0];
}

// Leaves in values[0] and counts[0] the largest x, and of equal ones the lowest channel.
fn best(lane: u32, x: f32, channel: u32) {
    workgroupBarrier();
    values[lane] = x;
    counts[lane] = channel;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            let other = lane + half;
            let tie = values[other] == values[lane];
            let better = (values[other] > values[lane]) | (tie & (counts[other] < counts[lane]));
            values[lane] = select(values[lane], values[other], better);
            counts[lane] = select(counts[lane], counts[other], better);
        }
    }
    workgroupBarrier();
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = group.z * C4 * 4u;
    var broken = 0.0;
    for (var c = lane; c < C; c += 256u) {
        broken += select(1.0, 0.0, is_finite(f32(src[at + c])));
    }
    let unsound = total(lane, broken) > 0.0;

    // The largest scales the softmax, then each round finds the next one after the last found.
    var peak = 0.0;
    var sum = 0.0;
    var last = 0.0;
    var last_channel = NONE;
    for (var round = 0u; round < TOP; round++) {
        var value = -3.4e38;
        var channel = NONE;
        for (var c = lane; c < C; c += 256u) {
            let x = f32(src[at + c]);
            // No branch on what came through workgroup memory, for Metal has miscompiled it: `&&` and `||`
            // would be branches.
            let after = (last_channel == NONE) | (x < last) | ((x == last) & (c > last_channel));
            let better = after & ((channel == NONE) | (x > value));
            value = select(value, x, better);
            channel = select(channel, c, better);
        }
        best(lane, value, channel);
        last = values[0];
        last_channel = counts[0];
        if SOFTMAX && round == 0u {
            peak = last;
            var mine = 0.0;
            for (var c = lane; c < C; c += 256u) {
                mine += exp(f32(src[at + c]) - peak);
            }
            sum = total(lane, mine);
            // Of a single class the sigmoid: beside it stands a class that is always 0.
            if C == 1u {
                sum += exp(min(-peak, 80.0));
            }
        }
        if lane == 0u {
            let value = select(last, exp(last - peak) / sum, SOFTMAX);
            // What is made of a value that is none must not look like an answer.
            let told = select(bitcast<u32>(value), 0x7fc00000u, unsound);
            dst[group.z * TOP + round] = vec4<f32>(f32(last_channel), bitcast<f32>(told), 0.0, 0.0);
        }
    }
}
