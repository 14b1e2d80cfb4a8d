// The header as Swift's importer sees it: a module by the module map, with the functions for Metal.
@import CMobileOne;

MobileoneStatus classify(MobileoneModel model, const MobileonePicture *picture, MobileoneTop *top, void *texture) {
    MobileoneDevice device;
    MobileoneSession session;
    MobileoneTicket ticket;
    size_t count;
    MobileoneStatus status = mobileone_device_open("metal", &device);
    if (status == MOBILEONE_OK) status = mobileone_session_open(model, device, 0, &session);
    if (status == MOBILEONE_OK && mobileone_session_metal_device(session) != 0)
        status = mobileone_submit_metal_texture(session, texture, 0, MOBILEONE_ROTATION_QUARTER, &ticket);
    return status == MOBILEONE_OK ? mobileone_classify(session, picture, top, 1, &count) : status;
}
