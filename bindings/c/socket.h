/* Two DEALER sockets, one for each channel. Only this file and socket.c know how ZeroMQ is set up. */
#ifndef INH_SOCKET_H
#define INH_SOCKET_H

#include "link.h"

typedef struct {
    void *context;
    void *sockets[INH_CHANNELS]; /* `vid` is made when it is first written to */
    char endpoint[256];
    int64_t vid_part_bytes; /* largest part that `vid` takes */
} inh_transport;

/* NULL when it is fine, else ZeroMQ's reason; *bad_address: the endpoint is at fault. */
const char *inh_transport_open(inh_transport *transport, const char *endpoint, bool *bad_address);
void inh_transport_close(inh_transport *transport);

/* An inh_send. */
bool inh_transport_send(void *transport, inh_channel channel, const uint8_t *bytes, size_t size);

/* The next message that has arrived. Returns 1 with a packet to be closed, 0 when there is none. */
int inh_transport_receive(inh_transport *transport, inh_packet *packet);
void inh_packet_close(inh_packet *packet);

/* Return when a message is there or after the time. */
void inh_transport_wait(inh_transport *transport, int timeout_ms);

#endif
