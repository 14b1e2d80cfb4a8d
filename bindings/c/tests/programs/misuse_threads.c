/* Sessions and tickets in the hands of several threads. */
#include "misuse.h"
#include <pthread.h>

/* One session used by many threads, whose last errors are their own. */
static float expected[11];

static void *use(void *argument) {
    MobileoneSession session = *(MobileoneSession *)argument;
    MobileonePicture good = picture();
    CHECK(mobileone_last_error()[0] == 0);
    for (int round = 0; round < 3; round++) {
        float logits[11];
        MobileoneAnswer place = answer();
        place.logits.values = logits, place.logits.capacity = 11;
        OK(mobileone_run(session, &good, &place));
        CHECK(memcmp(logits, expected, sizeof logits) == 0);
        refused(0);
    }
    return NULL;
}

/* One ticket wanted by two threads. */
static MobileoneTicket contested;

static void *take(void *argument) {
    MobileoneAnswer place = answer();
    MobileoneStatus status;
    do {
        status = mobileone_wait(contested, &place);
        CHECK(status == MOBILEONE_OK || status == MOBILEONE_BUSY || status == MOBILEONE_INVALID_HANDLE);
    } while (status == MOBILEONE_BUSY);
    *(MobileoneStatus *)argument = status;
    return NULL;
}

/* A session that is closed, paused and resumed while others use it. */
static void *use_until_closed(void *argument) {
    MobileoneSession session = *(MobileoneSession *)argument;
    MobileonePicture good = picture();
    for (;;) {
        MobileoneAnswer place = answer();
        MobileoneTicket ticket;
        MobileoneStatus status = mobileone_submit(session, &good, &ticket);
        if (status == MOBILEONE_OK) status = mobileone_wait(ticket, &place);
        if (status == MOBILEONE_INVALID_HANDLE) return NULL;
        CHECK(status == MOBILEONE_OK || status == MOBILEONE_BUSY || status == MOBILEONE_PAUSED);
    }
}

void threads(void) {
    pthread_t all[4];
    MobileoneSession session = open_session(2);
    MobileonePicture good = picture();
    MobileoneAnswer place = answer();
    place.logits.values = expected, place.logits.capacity = 11;
    OK(mobileone_run(session, &good, &place));
    for (int at = 0; at < 4; at++) CHECK(pthread_create(&all[at], NULL, use, &session) == 0);
    for (int at = 0; at < 4; at++) CHECK(pthread_join(all[at], NULL) == 0);
    for (int round = 0; round < 5; round++) {
        MobileoneStatus found[2];
        OK(mobileone_submit(session, &good, &contested));
        for (int at = 0; at < 2; at++) CHECK(pthread_create(&all[at], NULL, take, &found[at]) == 0);
        for (int at = 0; at < 2; at++) CHECK(pthread_join(all[at], NULL) == 0);
        CHECK((found[0] == MOBILEONE_OK) != (found[1] == MOBILEONE_OK));
    }
    for (int at = 0; at < 4; at++) CHECK(pthread_create(&all[at], NULL, use_until_closed, &session) == 0);
    for (int round = 0; round < 5; round++) {
        OK(mobileone_session_pause(session));
        OK(mobileone_session_resume(session));
    }
    OK(mobileone_session_close(session));
    for (int at = 0; at < 4; at++) CHECK(pthread_join(all[at], NULL) == 0);
}
