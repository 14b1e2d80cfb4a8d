import AVFoundation
import MobileOne
import SwiftUI

/// What the camera sees, the best classes, and how long they took.
struct CameraView: View {
    @StateObject private var camera: Camera

    init(camera: @autoclosure @escaping () -> Camera) {
        _camera = StateObject(wrappedValue: camera())
    }

    var body: some View {
        ZStack(alignment: .bottom) {
            Preview(capture: camera.capture).ignoresSafeArea()
            VStack(alignment: .leading, spacing: 6) {
                if let failure = camera.failure { Text(failure).foregroundColor(.red) }
                ForEach(camera.top.prefix(3)) { top in
                    HStack {
                        Text(top.label)
                        Spacer()
                        Text(top.probability, format: .percent.precision(.fractionLength(0)))
                    }
                }
                Text("\(camera.latency, specifier: "%.1f") ms, \(camera.dropped) dropped").font(.caption)
            }
            .monospacedDigit()
            .padding()
            .background(.ultraThinMaterial)
        }
        .onAppear { camera.start() }
        .onDisappear { camera.stop() }
    }
}

private struct Preview: UIViewRepresentable {
    let capture: AVCaptureSession

    final class Layer: UIView {
        override static var layerClass: AnyClass { AVCaptureVideoPreviewLayer.self }
    }

    func makeUIView(context _: Context) -> Layer {
        let view = Layer()
        if let layer = view.layer as? AVCaptureVideoPreviewLayer {
            layer.session = capture
            layer.videoGravity = .resizeAspectFill
        }
        return view
    }

    func updateUIView(_: Layer, context _: Context) {}
}
