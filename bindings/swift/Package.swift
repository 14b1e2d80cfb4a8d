// swift-tools-version:5.9
import PackageDescription

let package = Package(
    name: "MobileOne",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [.library(name: "MobileOne", targets: ["MobileOne"])],
    targets: [
        // Made by ./xcframework from bindings/c.
        .binaryTarget(name: "CMobileOne", path: "CMobileOne.xcframework"),
        .target(
            name: "MobileOne",
            dependencies: ["CMobileOne"],
            linkerSettings: ["CoreFoundation", "CoreGraphics", "Foundation", "Metal", "QuartzCore"].map { .linkedFramework($0) }),
    ]
)
