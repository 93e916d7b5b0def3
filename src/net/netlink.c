// SPDX-License-Identifier: Apache-2.0
#include "net/netlink.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "net/netns.h"

enum { ANSWER_BYTES = 65536, RECEIVE_BUFFER_BYTES = 1 << 20 };

int netlink_open(struct netlink *netlink)
{
    memset(netlink, 0, sizeof(*netlink));
    netlink->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (netlink->socket == NULL || mnl_socket_bind(netlink->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
        int error = -errno;
        netlink_close(netlink);
        return error;
    }
    int on = 1;
    // Neither is needed: an old kernel only explains less.
    mnl_socket_setsockopt(netlink->socket, NETLINK_EXT_ACK, &on, sizeof(on));
    mnl_socket_setsockopt(netlink->socket, NETLINK_CAP_ACK, &on, sizeof(on));
    int size = RECEIVE_BUFFER_BYTES;
    setsockopt(mnl_socket_get_fd(netlink->socket), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    netlink->seq = (uint32_t)time(NULL);
    return 0;
}

int netlink_open_at(struct netlink *netlink, int netns_fd)
{
    int home;
    int result = netns_enter(netns_fd, &home);
    if (result < 0) {
        netlink->socket = NULL;
        return result;
    }
    result = netlink_open(netlink);
    netns_leave(home);
    return result;
}

void netlink_close(struct netlink *netlink)
{
    if (netlink->socket != NULL) {
        mnl_socket_close(netlink->socket);
        netlink->socket = NULL;
    }
}

// Closes the request being built: its length is known only now.
static void request_end(struct netlink *netlink)
{
    if (netlink->last != NULL) {
        netlink->used += MNL_ALIGN(netlink->last->nlmsg_len);
        netlink->last = NULL;
    }
}

struct nlmsghdr *netlink_request(struct netlink *netlink, uint16_t type, uint16_t flags,
                                 const char *what_format, ...)
{
    request_end(netlink);
    // 1 KiB is more than any request here takes.
    if (netlink->count == NETLINK_BATCH_REQUESTS || sizeof(netlink->batch) - netlink->used < 1024) {
        return NULL;
    }
    struct nlmsghdr *header = mnl_nlmsg_put_header(netlink->batch + netlink->used);
    header->nlmsg_type = type;
    header->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
    header->nlmsg_seq = ++netlink->seq;
    netlink->last = header;

    struct netlink_request *request = &netlink->requests[netlink->count++];
    *request = (struct netlink_request){.seq = header->nlmsg_seq};
    va_list arguments;
    va_start(arguments, what_format);
    vsnprintf(request->what, sizeof(request->what), what_format, arguments);
    va_end(arguments);
    return header;
}

void netlink_accept(struct netlink *netlink, int accepted_errno)
{
    if (netlink->count > 0) {
        netlink->requests[netlink->count - 1].accept = accepted_errno;
    }
}

// The kernel's own words in an error message (NLMSGERR_ATTR_MSG), or NULL. With NETLINK_CAP_ACK
// only the header of the request comes back before the attributes.
static const char *extended_ack(const struct nlmsghdr *message)
{
    const struct nlmsgerr *answer = mnl_nlmsg_get_payload(message);
    if (!(message->nlmsg_flags & NLM_F_ACK_TLVS)) {
        return NULL;
    }
    size_t skip = sizeof(*answer);
    if (!(message->nlmsg_flags & NLM_F_CAPPED)) {
        skip += answer->msg.nlmsg_len - sizeof(answer->msg);
    }
    const struct nlattr *attribute;
    mnl_attr_for_each(attribute, message, (unsigned)skip)
    {
        if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG &&
            mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0) {
            return mnl_attr_get_str(attribute);
        }
    }
    return NULL;
}

static int answer_error(const struct nlmsghdr *message, const char *what, struct error *error)
{
    const struct nlmsgerr *answer = mnl_nlmsg_get_payload(message);
    const char *words = extended_ack(message);
    return error_set(error, answer->error, "cannot %s: %s%s%s", what, strerror(-answer->error),
                     words != NULL ? ": " : "", words != NULL ? words : "");
}

static int batch_send(struct netlink *netlink, const char *what, struct error *error)
{
    request_end(netlink);
    ssize_t sent = mnl_socket_sendto(netlink->socket, netlink->batch, netlink->used);
    netlink->used = 0;
    if (sent < 0) {
        return error_set(error, -errno, "cannot %s: netlink send: %s", what, strerror(errno));
    }
    return 0;
}

static ssize_t answer_receive(struct netlink *netlink, char *buffer, size_t size)
{
    ssize_t length;
    do {
        length = mnl_socket_recvfrom(netlink->socket, buffer, size);
    } while (length < 0 && errno == EINTR);
    return length < 0 ? -errno : length;
}

int netlink_commit(struct netlink *netlink, struct error *error)
{
    size_t count = netlink->count;
    netlink->count = 0;
    if (count == 0) {
        return 0;
    }
    int result = batch_send(netlink, netlink->requests[0].what, error);
    if (result < 0) {
        return result;
    }
    _Alignas(8) char buffer[8192];
    // One answer a request, in order.
    for (size_t at = 0; at < count;) {
        ssize_t length = answer_receive(netlink, buffer, sizeof(buffer));
        if (length < 0) {
            return error_set(error, (int)length, "cannot %s: netlink receive: %s",
                             netlink->requests[at].what, strerror((int)-length));
        }
        int left = (int)length;
        for (const struct nlmsghdr *message = (const void *)buffer; mnl_nlmsg_ok(message, left);
             message = mnl_nlmsg_next(message, &left)) {
            if (message->nlmsg_type != NLMSG_ERROR) {
                continue;
            }
            // Answers of a commit that failed half way are older than ours.
            while (at < count && netlink->requests[at].seq < message->nlmsg_seq) {
                at++;
            }
            if (at == count || netlink->requests[at].seq != message->nlmsg_seq) {
                continue;
            }
            const struct netlink_request *request = &netlink->requests[at++];
            const struct nlmsgerr *answer = mnl_nlmsg_get_payload(message);
            if (answer->error != 0 && answer->error != -request->accept && result == 0) {
                result = answer_error(message, request->what, error);
            }
        }
    }
    return result;
}

struct dump {
    int (*each)(const struct nlmsghdr *message, void *context);
    void *context;
};

// 1: done, 0: more to come, negative: failed. *ret_interrupted: the kernel's lists changed while it
// told them, so something may be missing.
static int dump_part(const char *buffer, int left, uint32_t seq, const struct dump *dump,
                     bool *ret_interrupted, struct error *error)
{
    for (const struct nlmsghdr *message = (const void *)buffer; mnl_nlmsg_ok(message, left);
         message = mnl_nlmsg_next(message, &left)) {
        if (message->nlmsg_seq != seq) {
            continue;
        }
        if (message->nlmsg_flags & NLM_F_DUMP_INTR) {
            *ret_interrupted = true;
        }
        if (message->nlmsg_type == NLMSG_DONE) {
            return 1;
        }
        if (message->nlmsg_type == NLMSG_ERROR) {
            return answer_error(message, "read the kernel's list", error);
        }
        int result = dump->each(message, dump->context);
        if (result < 0) {
            return error_set(error, result, "reading the kernel's list: %s", strerror(-result));
        }
    }
    return 0;
}

int netlink_dump(struct netlink *netlink, uint16_t type, uint8_t family, size_t header_len,
                 int (*each)(const struct nlmsghdr *message, void *context),
                 void (*restart)(void *context), void *context, struct error *error)
{
    cleanup(free_ptr) char *buffer = malloc(ANSWER_BYTES);
    if (buffer == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    struct dump dump = {each, context};
    enum { ATTEMPTS = 8 };
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        if (attempt > 0 && restart != NULL) {
            restart(context);
        }
        struct nlmsghdr *header = mnl_nlmsg_put_header(netlink->batch);
        header->nlmsg_type = type;
        header->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
        header->nlmsg_seq = ++netlink->seq;
        // The family is the first byte of every rtnetlink header.
        *(uint8_t *)mnl_nlmsg_put_extra_header(header, header_len) = family;
        netlink->used = header->nlmsg_len;
        int result = batch_send(netlink, "read the kernel's list", error);
        bool interrupted = false;
        while (result == 0) {
            ssize_t length = answer_receive(netlink, buffer, ANSWER_BYTES);
            if (length < 0) {
                return error_set(error, (int)length, "netlink receive: %s", strerror((int)-length));
            }
            result = dump_part(buffer, (int)length, header->nlmsg_seq, &dump, &interrupted, error);
        }
        if (result < 0 || !interrupted) {
            return result < 0 ? result : 0;
        }
    }
    return error_set(error, -EAGAIN, "the kernel's list changed faster than it could be read");
}

int netlink_ask(struct netlink *netlink, char *buffer, size_t size,
                const struct nlmsghdr **ret_answer, struct error *error)
{
    struct netlink_request *request = &netlink->requests[0];
    netlink->count = 0;
    // The answer is the acknowledgement.
    netlink->last->nlmsg_flags &= (uint16_t)~NLM_F_ACK;
    int result = batch_send(netlink, request->what, error);
    if (result < 0) {
        return result;
    }
    for (;;) {
        ssize_t length = answer_receive(netlink, buffer, size);
        if (length < 0) {
            return error_set(error, (int)length, "cannot %s: netlink receive: %s", request->what,
                             strerror((int)-length));
        }
        const struct nlmsghdr *message = (const void *)buffer;
        if (!mnl_nlmsg_ok(message, (int)length) || message->nlmsg_seq != request->seq) {
            continue;
        }
        if (message->nlmsg_type == NLMSG_ERROR) {
            const struct nlmsgerr *answer = mnl_nlmsg_get_payload(message);
            return answer->error == -request->accept ? answer->error
                                                     : answer_error(message, request->what, error);
        }
        *ret_answer = message;
        return 0;
    }
}
