import AVFoundation
import Combine
import CoreVideo
import MobileOne

/// The camera's frames, named as they come: each is wrapped as a Metal texture and submitted where it lies.
final class Camera: NSObject, ObservableObject, AVCaptureVideoDataOutputSampleBufferDelegate {
    @Published private(set) var top: [Top] = []
    /// From the frame's arrival to its answer, in milliseconds.
    @Published private(set) var latency = 0.0
    @Published private(set) var dropped = 0
    @Published private(set) var failure: String?

    let capture = AVCaptureSession()
    private let session: Session
    private let queue = DispatchQueue(label: "camera")
    private var cache: CVMetalTextureCache?

    init(session: Session) {
        self.session = session
        super.init()
        if let device = session.metalDevice {
            CVMetalTextureCacheCreate(nil, nil, device, nil, &cache)
        }
    }

    func start() {
        AVCaptureDevice.requestAccess(for: .video) { granted in
            self.queue.async { granted ? self.run() : self.report("The camera is not allowed: see Settings.") }
        }
    }

    func stop() {
        queue.async { self.capture.stopRunning() }
    }

    private func run() {
        if capture.inputs.isEmpty {
            guard let device = AVCaptureDevice.default(.builtInWideAngleCamera, for: .video, position: .back),
                let input = try? AVCaptureDeviceInput(device: device), capture.canAddInput(input)
            else { return report("There is no camera.") }
            let output = AVCaptureVideoDataOutput()
            output.videoSettings = [kCVPixelBufferPixelFormatTypeKey as String: kCVPixelFormatType_32BGRA]
            output.alwaysDiscardsLateVideoFrames = true
            output.setSampleBufferDelegate(self, queue: queue)
            capture.sessionPreset = .vga640x480
            capture.addInput(input)
            capture.addOutput(output)
        }
        capture.startRunning()
    }

    func captureOutput(_: AVCaptureOutput, didOutput sample: CMSampleBuffer, from _: AVCaptureConnection) {
        guard let buffer = CMSampleBufferGetImageBuffer(sample) else { return }
        let begun = DispatchTime.now()
        do {
            // A phone held upright gives pictures that lie on their left side.
            let wrapped = texture(of: buffer)
            let ticket =
                try wrapped.flatMap(CVMetalTextureGetTexture).map { try session.submit($0, rotation: .quarter) }
                ?? session.submit(buffer, rotation: .quarter)
            Task {
                do {
                    let top = try await ticket.value()
                    // Until here the frame must not go back to the camera.
                    withExtendedLifetime((buffer, wrapped)) {}
                    await show(top, since: begun)
                } catch {
                    report("\(error)")
                }
            }
        } catch let failure as Failure where failure.isBusy || failure.isPaused {
            DispatchQueue.main.async { self.dropped += 1 }
        } catch {
            report("\(error)")
        }
    }

    private func texture(of buffer: CVPixelBuffer) -> CVMetalTexture? {
        guard let cache else { return nil }
        let (width, height) = (CVPixelBufferGetWidth(buffer), CVPixelBufferGetHeight(buffer))
        var texture: CVMetalTexture?
        CVMetalTextureCacheCreateTextureFromImage(
            nil, cache, buffer, nil, .bgra8Unorm, width, height, 0, &texture)
        return texture
    }

    @MainActor
    private func show(_ top: [Top], since begun: DispatchTime) {
        self.top = top
        latency = Double(DispatchTime.now().uptimeNanoseconds - begun.uptimeNanoseconds) / 1e6
        failure = nil
    }

    private func report(_ text: String) {
        DispatchQueue.main.async { self.failure = text }
    }
}
