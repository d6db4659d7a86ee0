#include "socket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { CONTEXT_LINGER_MS = 200, CTL_PART_BYTES = INH_MAX_SIDE * INH_MAX_SIDE * 3 + 1024 };

static void *connect_socket(inh_transport *t, int64_t part_bytes) {
    static const struct { int option, value; } OPTIONS[] = {
        {ZMQ_LINGER, CONTEXT_LINGER_MS}, {ZMQ_SNDHWM, 64}, {ZMQ_RCVHWM, 256}, {ZMQ_SNDBUF, 256 * 1024},
        {ZMQ_RCVBUF, 256 * 1024}, {ZMQ_TCP_KEEPALIVE, 1}, {ZMQ_HEARTBEAT_IVL, 500}, {ZMQ_HEARTBEAT_TIMEOUT, 1500},
        {ZMQ_HEARTBEAT_TTL, 2000}, {ZMQ_HANDSHAKE_IVL, 3000}, {ZMQ_RECONNECT_IVL, 50}, {ZMQ_RECONNECT_IVL_MAX, 2000},
        {ZMQ_CONNECT_TIMEOUT, 3000}, {ZMQ_IMMEDIATE, 1}, /* else input queues up while the sidecar is away */
    };
    void *dealer = zmq_socket(t->context, ZMQ_DEALER);
    if (!dealer) return NULL;
    for (size_t i = 0; i < sizeof OPTIONS / sizeof *OPTIONS; i++)
        zmq_setsockopt(dealer, OPTIONS[i].option, &OPTIONS[i].value, sizeof OPTIONS[i].value);
    int six = strchr(t->endpoint, '[') != NULL;
    zmq_setsockopt(dealer, ZMQ_IPV6, &six, sizeof six);
    zmq_setsockopt(dealer, ZMQ_MAXMSGSIZE, &part_bytes, sizeof part_bytes);
    if (zmq_connect(dealer, t->endpoint) == 0) return dealer;
    int error = zmq_errno();
    zmq_close(dealer);
    errno = error;
    return NULL;
}

const char *inh_transport_open(inh_transport *t, const char *endpoint, bool *bad_address) {
    *t = (inh_transport){.vid_part_bytes = CTL_PART_BYTES};
    *bad_address = false;
    snprintf(t->endpoint, sizeof t->endpoint, "%s", endpoint);
    t->context = zmq_ctx_new();
    if (!t->context) return zmq_strerror(zmq_errno());
    t->sockets[INH_CTL] = connect_socket(t, CTL_PART_BYTES);
    if (t->sockets[INH_CTL]) return NULL;
    int error = zmq_errno();
    *bad_address = error != EMFILE && error != ENOMEM && error != ENFILE;
    inh_transport_close(t);
    return zmq_strerror(error);
}

void inh_transport_close(inh_transport *t) {
    for (int i = 0; i < INH_CHANNELS; i++) {
        if (t->sockets[i]) zmq_close(t->sockets[i]);
        t->sockets[i] = NULL;
    }
    while (t->context && zmq_ctx_term(t->context) != 0 && zmq_errno() == EINTR) {}
    t->context = NULL;
}

bool inh_transport_send(void *transport, inh_channel channel, const uint8_t *bytes, size_t size) {
    inh_transport *t = transport;
    if (!t->sockets[channel]) t->sockets[channel] = connect_socket(t, t->vid_part_bytes);
    return t->sockets[channel] && zmq_send(t->sockets[channel], bytes, size, ZMQ_DONTWAIT) >= 0;
}

void inh_packet_close(inh_packet *packet) {
    while (packet->count > 0) zmq_msg_close(&packet->parts[--packet->count]);
}

/* ZeroMQ hands over all parts of a message or none. One part too many: the message is dropped. */
static bool receive_from(void *dealer, inh_packet *packet) {
    bool more = true, fits = true;
    packet->count = 0;
    while (more) {
        zmq_msg_t part;
        zmq_msg_init(&part);
        if (zmq_msg_recv(&part, dealer, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&part);
            fits = false;
            break;
        }
        more = zmq_msg_more(&part);
        if (packet->count == INH_MAX_PARTS) {
            zmq_msg_close(&part);
            fits = false;
            continue;
        }
        zmq_msg_init(&packet->parts[packet->count]);
        zmq_msg_move(&packet->parts[packet->count++], &part);
        zmq_msg_close(&part);
    }
    if (!fits) inh_packet_close(packet);
    return fits;
}

int inh_transport_receive(inh_transport *t, inh_packet *packet) {
    for (int i = 0; i < INH_CHANNELS; i++)
        if (t->sockets[i] && receive_from(t->sockets[i], packet)) return 1;
    return 0;
}

void inh_transport_wait(inh_transport *t, int timeout_ms) {
    zmq_pollitem_t items[INH_CHANNELS];
    int count = 0;
    for (int i = 0; i < INH_CHANNELS; i++)
        if (t->sockets[i]) items[count++] = (zmq_pollitem_t){.socket = t->sockets[i], .events = ZMQ_POLLIN};
    zmq_poll(items, count, timeout_ms < 0 ? 0 : timeout_ms);
}
