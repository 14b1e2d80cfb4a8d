/* Linked into the programs that LeakSanitizer judges: a driver stays loaded to the end, so that a leak inside it has a
 * name that can be suppressed. */
int dlclose(void *handle);

int dlclose(void *handle) {
    (void)handle;
    return 0;
}
