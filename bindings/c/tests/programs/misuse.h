/* What the tries of misuse share. */
#ifndef MISUSE_H
#define MISUSE_H

#include <mobileone.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void expect_at(int line, const char *call, MobileoneStatus found, MobileoneStatus wanted) {
    if (found != wanted) {
        fprintf(stderr, "line %d: %s gives %d, not %d: %s\n", line, call, (int)found, (int)wanted,
                mobileone_last_error());
        exit(1);
    }
    if (found > MOBILEONE_NOT_READY && mobileone_last_error()[0] == 0) {
        fprintf(stderr, "line %d: %s says nothing\n", line, call);
        exit(1);
    }
}

#define EXPECT(wanted, call) expect_at(__LINE__, #call, call, wanted)
#define OK(call) EXPECT(MOBILEONE_OK, call)
#define BAD_HANDLE(call) EXPECT(MOBILEONE_INVALID_HANDLE, call)
#define BAD_ARGUMENT(call) EXPECT(MOBILEONE_INVALID_ARGUMENT, call)
#define CHECK(truth)                                                                                                   \
    do {                                                                                                               \
        if (!(truth)) {                                                                                                \
            fprintf(stderr, "line %d: not %s\n", __LINE__, #truth);                                                    \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

enum { SIDE = 96 };

extern unsigned char pixels[4 * SIDE * SIDE];

MobileoneSession open_session(unsigned frames);

/* Tries every function with a handle that is none. */
void refused(uint64_t handle);

/* Tries what threads can do to each other. */
void threads(void);

static inline MobileonePicture picture(void) {
    MobileonePicture picture = {.size = sizeof picture,
                                .format = MOBILEONE_FORMAT_RGBA8,
                                .width = SIDE,
                                .height = SIDE,
                                .bytes = pixels,
                                .length = 4 * SIDE * SIDE};
    return picture;
}

static inline MobileoneAnswer answer(void) {
    MobileoneAnswer answer = {.size = sizeof answer};
    return answer;
}

#endif
