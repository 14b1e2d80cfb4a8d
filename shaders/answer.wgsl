// dst = [non-finite values, largest |feature|, softmax(logits), (class, probability) of the TOP best]; of a single class, its sigmoid.
// One workgroup answers for one picture; ties go to the lower class.

const FEATURES: u32 = 10u;       // channels before the classifier
const FEATURES_C4: u32 = 3u;     // groups of four of them
const CLASSES: u32 = 7u;         // classes; 0 where the network has no classifier
const CLASSES_C4: u32 = 2u;      // groups of four of them
const PROBABILITIES: bool = true;  // whether the softmax is written
const TOP: u32 = 3u;             // best classes written
const_assert FEATURES_C4 * 4u >= FEATURES && FEATURES_C4 * 4u < FEATURES + 4u;
const_assert CLASSES_C4 * 4u >= CLASSES && CLASSES_C4 * 4u < CLASSES + 4u;
const_assert TOP <= CLASSES;

@group(0) @binding(0) var<storage, read> features: array<f32>;    // [batch, FEATURES_C4 * 4]
@group(0) @binding(3) var<storage, read_write> dst: array<u32>;   // [batch, 2 + (CLASSES) + TOP * 2], f32 as bits
@group(0) @binding(4) var<storage, read> logits: array<f32>;      // [batch, CLASSES_C4 * 4]; features if no classifier

const PROBABILITIES_AT: u32 = 2u;
const TOP_AT: u32 = PROBABILITIES_AT + select(0u, CLASSES, PROBABILITIES);
const STRIDE: u32 = TOP_AT + 2u * TOP;
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

// Leaves in values[0] and counts[0] the largest x, and of equal ones the lowest index.
fn best(lane: u32, x: f32, index: u32) {
    workgroupBarrier();
    values[lane] = x;
    counts[lane] = index;
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
    let features_at = group.z * FEATURES_C4 * 4u;
    let logits_at = group.z * CLASSES_C4 * 4u;
    let dst_at = group.z * STRIDE;

    var broken = 0u;
    var largest = 0.0;
    for (var i = lane; i < FEATURES; i += 256u) {
        let x = features[features_at + i];
        broken += select(1u, 0u, is_finite(x));
        largest = max(largest, abs(x));
    }
    for (var i = lane; i < CLASSES; i += 256u) {
        broken += select(1u, 0u, is_finite(logits[logits_at + i]));
    }
    best(lane, largest, 0u);
    let magnitude = values[0];
    let unsound = u32(total(lane, f32(broken)));
    if lane == 0u {
        dst[dst_at] = unsound;
        dst[dst_at + 1u] = bitcast<u32>(magnitude);
    }

    // The largest logit scales the softmax, then each round finds the next one after the last found.
    var peak = 0.0;
    var sum = 0.0;
    var last = 0.0;
    var last_index = NONE;
    for (var round = 0u; round < max(TOP, min(CLASSES, 1u)); round++) {
        var value = -3.4e38;
        var index = NONE;
        for (var i = lane; i < CLASSES; i += 256u) {
            let x = logits[logits_at + i];
            // No branch on what came through workgroup memory, for Metal has miscompiled it: `&&` and `||`
            // would be branches.
            let after = (last_index == NONE) | (x < last) | ((x == last) & (i > last_index));
            let better = after & ((index == NONE) | (x > value));
            value = select(value, x, better);
            index = select(index, i, better);
        }
        best(lane, value, index);
        last = values[0];
        last_index = counts[0];
        if round == 0u {
            peak = last;
            var mine = 0.0;
            for (var i = lane; i < CLASSES; i += 256u) {
                mine += exp(logits[logits_at + i] - peak);
            }
            sum = total(lane, mine);
            // Of a single class the sigmoid: beside it stands a class that is always 0.
            if CLASSES == 1u {
                sum += exp(min(-peak, 80.0));
            }
        }
        if (lane == 0u) & (round < TOP) {
            dst[dst_at + TOP_AT + 2u * round] = last_index;
            dst[dst_at + TOP_AT + 2u * round + 1u] = bitcast<u32>(exp(last - peak) / sum);
        }
    }
    if PROBABILITIES {
        for (var i = lane; i < CLASSES; i += 256u) {
            dst[dst_at + PROBABILITIES_AT + i] = bitcast<u32>(exp(logits[logits_at + i] - peak) / sum);
        }
    }
}
