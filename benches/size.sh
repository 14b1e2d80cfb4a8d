#!/usr/bin/env bash
# What each set of features costs: how many crates a program takes in, and how large a stripped release binary of the
# smallest useful program is. Prints a Markdown table. Release builds of wgpu: some minutes the first time.
#
#     benches/size.sh              # all sets, and the command
#     benches/size.sh "" cpu       # some; "" is none
#     LABEL=before benches/size.sh # another column's name
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$root/target}/size"
here="$CARGO_TARGET_DIR/program"
mkdir -p "$here/src"

sets=("" cpu gpu gpu,cpu gpu,cpu,export gpu,cpu,image gpu,cpu,image,pth gpu,cpu,image,pth,hub gpu,cpu,image,pth,hub,sample command)
(($#)) && sets=("$@")

# A program that loads a model and runs what the features let it run.
program() {
    echo 'fn main() -> mobileone::Result<()> {'
    echo '    let path = std::env::args().nth(1).expect("a model");'
    case ",$1," in
    *,hub,*) echo '    let model = mobileone::Model::new(mobileone::named::open(path, &mut |_| {})?, mobileone::Form::Fused)?;' ;;
    *) echo '    let model = mobileone::Model::load(path)?;' ;;
    esac
    echo '    println!("{}", model.name);'
    case ",$1," in
    *,cpu,* | *,gpu,*)
        cat <<'RUST'
    let options = mobileone::Options::of(&model);
    let session = mobileone::Session::new(&mobileone::Device::open("auto")?, &model, &options)?;
    let (h, w) = options.preprocess.size;
    let picture = mobileone::Tensor::zeros(mobileone::Shape::new(1, h, w, 3));
    println!("{:?}", session.run(mobileone::Input::Tensor(&picture))?.top);
RUST
        ;;
    esac
    case ",$1," in
    *,image,*) echo '    println!("{:?}", session.run(mobileone::Input::Pixels(mobileone::picture::open("a.jpg")?.pixels()))?.top);' ;;
    esac
    case ",$1," in
    *,sample,*) echo '    println!("{}", mobileone::sample::digits()?.weights.len());' ;;
    esac
    case ",$1," in
    *,export,*)
        echo '    use mobileone::export::{Target, export};'
        echo '    export(&model, &options, mobileone::plan::Limits::LEAST, Target::Spirv)?.write("out", false)?;'
        ;;
    esac
    echo '    Ok(())'
    echo '}'
}

# The release profile of the project, and nothing left in the binary that running it does not need.
profile=$(sed -n '/^\[profile\.release\]/,/^$/{/^strip/d;p}' "$root/Cargo.toml")
features() { [ -z "$1" ] || printf '"%s"' "${1//,/\",\"}"; }

echo "| features | crates | binary (MB${LABEL:+, $LABEL}) |"
echo "| --- | --- | --- |"
for set in "${sets[@]}"; do
    of=(-p mobileone --no-default-features --features "$set")
    [ "$set" != command ] || of=(-p mobileone-cli)
    crates=$(cargo tree --locked --manifest-path "$root/Cargo.toml" "${of[@]}" -e normal --prefix none |
        sed 's/ (.*)$//' | sort -u | grep -cvE '^mobileone(-cli)? ')
    if [ "$set" = command ]; then
        cargo build -q --locked --release --manifest-path "$root/Cargo.toml" "${of[@]}"
        binary="$CARGO_TARGET_DIR/release/mobileone"
        strip -o "$here/stripped" "$binary"
        binary="$here/stripped"
    else
        program "$set" >"$here/src/main.rs"
        cat >"$here/Cargo.toml" <<TOML
[package]
name = "program"
version = "0.0.0"
edition = "2024"
[workspace]
[dependencies]
mobileone = { path = "$root", default-features = false, features = [$(features "$set")] }
$profile
strip = true
TOML
        cp "$root/Cargo.lock" "$here/Cargo.lock"
        cargo build -q --release --manifest-path "$here/Cargo.toml"
        binary="$CARGO_TARGET_DIR/release/program"
    fi
    printf '| %s | %d | %.1f |\n' "${set:-none}" "$crates" "$(($(stat -c %s "$binary") / 10000))e-2"
done
