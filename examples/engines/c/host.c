/* A plain C program that lives in a world: no window, the last picture goes to a file.

       cmake -S examples/engines/c -B build/host && cmake --build build/host
       inhabit serve toy --bind tcp://127.0.0.1:5555
       build/host/host tcp://127.0.0.1:5555 picture.ppm ArrowRight 60     hold the right arrow for 60 frames */
#include <inhabit.h>

#include <stdio.h>
#include <stdlib.h>

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, inhabit_last_error());
    return 1;
}

static int write_ppm(const char *path, const unsigned char *pixels, const inhabit_frame *frame) {
    FILE *file = fopen(path, "wb");
    if (!file) return perror(path), 1;
    fprintf(file, "P6 %d %d 255\n", frame->width, frame->height);
    fwrite(pixels, 1, frame->bytes, file);
    return fclose(file) ? 1 : 0;
}

int main(int count, char **arguments) {
    if (count != 5) {
        fprintf(stderr, "Expected: %s ENDPOINT PICTURE.ppm KEY FRAMES\n", arguments[0]);
        return 2;
    }
    if (inhabit_abi_version() >> 16 != INHABIT_ABI_MAJOR) {
        fprintf(stderr, "Expected a library with ABI %d, got %u\n", INHABIT_ABI_MAJOR, inhabit_abi_version() >> 16);
        return 1;
    }
    inhabit_options options = {.struct_size = sizeof options, .name = "plain C host"};
    inhabit_client client;
    if (inhabit_open(arguments[1], &options, &client) < 0) return fail("open");
    if (inhabit_wait(client, 60000) < 0) return fail("wait");

    inhabit_world world = {.struct_size = sizeof world};
    if (inhabit_describe_world(client, &world) < 0) return fail("world");
    printf("%s, %d x %d at %g frames a second\n", world.title, world.width, world.height, world.rate_hz);
    for (int i = 0; i < world.actions; i++) {
        inhabit_action action = {.struct_size = sizeof action};
        inhabit_describe_action(client, i, &action);
        printf("  %s: %s\n", action.name, action.keys);
    }

    unsigned char *pixels = malloc(world.bytes);
    inhabit_frame frame = {.struct_size = sizeof frame};
    double latency_ms = -1;
    if (!pixels || inhabit_button(client, arguments[3], 1) < 0) return fail("key");
    for (int shown = 0; shown < atoi(arguments[4]);) {
        int result = inhabit_poll(client, pixels, world.bytes, &frame, 100); /* a window would pass 0 and draw */
        if (result < 0) return fail("poll");
        shown += result;
        if (result && frame.latency_ms >= 0) latency_ms = frame.latency_ms;
    }
    printf("frame %llu, key to frame %.1f ms\n", (unsigned long long)frame.index, latency_ms);
    int wrong = write_ppm(arguments[2], pixels, &frame);
    free(pixels);
    inhabit_close(client);
    return wrong;
}
