// SPDX-License-Identifier: Apache-2.0
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

static unsigned family_bits(uint8_t family)
{
    return family == 4 ? 32 : 128;
}

int addr_parse_ip(struct str text, struct addr *ret_addr)
{
    char copy[INET6_ADDRSTRLEN];
    if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.at, '\0', text.len) != NULL) {
        return -EINVAL;
    }
    memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';
    struct addr addr = {.family = memchr(copy, ':', text.len) != NULL ? 6 : 4};
    if (inet_pton(addr.family == 4 ? AF_INET : AF_INET6, copy, addr.ip) != 1) {
        return -EINVAL;
    }
    *ret_addr = addr;
    return 0;
}

int addr_parse(struct str text, struct addr *ret_addr)
{
    struct str ip = text;
    const char *colon = text.len > 0 ? memrchr(text.at, ':', text.len) : NULL;
    if (colon == NULL) {
        return -EINVAL;
    }
    struct str port_text = {colon + 1, (size_t)(text.at + text.len - colon - 1)};
    ip.len = (size_t)(colon - text.at);
    bool brackets = ip.len >= 2 && ip.at[0] == '[' && ip.at[ip.len - 1] == ']';
    if (brackets) {
        ip = (struct str){ip.at + 1, ip.len - 2};
    }
    struct addr addr;
    uint64_t port;
    if (addr_parse_ip(ip, &addr) < 0 || str_to_u64(port_text, 65535, &port) < 0 || port == 0 ||
        (addr.family == 6) != brackets) {
        return -EINVAL;
    }
    addr.port = (uint16_t)port;
    *ret_addr = addr;
    return 0;
}

const char *addr_format_ip(const struct addr *addr, char buffer[static ADDR_TEXT_LEN])
{
    if (addr->family == 0 || inet_ntop(addr->family == 4 ? AF_INET : AF_INET6, addr->ip, buffer,
                                       ADDR_TEXT_LEN) == NULL) {
        snprintf(buffer, ADDR_TEXT_LEN, "-");
    }
    return buffer;
}

const char *addr_format(const struct addr *addr, char buffer[static ADDR_TEXT_LEN])
{
    char ip[ADDR_TEXT_LEN];
    addr_format_ip(addr, ip);
    if (addr->port == 0) {
        snprintf(buffer, ADDR_TEXT_LEN, "%s", ip);
    } else {
        snprintf(buffer, ADDR_TEXT_LEN, addr->family == 6 ? "[%.45s]:%u" : "%.45s:%u", ip,
                 addr->port);
    }
    return buffer;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && a->port == b->port &&
           memcmp(a->ip, b->ip, family_bits(a->family) / 8) == 0;
}

socklen_t addr_to_sockaddr(const struct addr *addr, struct sockaddr_storage *ret_sockaddr)
{
    memset(ret_sockaddr, 0, sizeof(*ret_sockaddr));
    if (addr->family == 6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret_sockaddr;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(addr->port);
        memcpy(&in6->sin6_addr, addr->ip, 16);
        return sizeof(*in6);
    }
    struct sockaddr_in *in = (struct sockaddr_in *)ret_sockaddr;
    in->sin_family = AF_INET;
    in->sin_port = htons(addr->port);
    memcpy(&in->sin_addr, addr->ip, 4);
    return sizeof(*in);
}

int addr_from_sockaddr(const struct sockaddr *sockaddr, struct addr *ret_addr)
{
    struct addr addr = {0};
    if (sockaddr->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)sockaddr;
        addr.family = 4;
        addr.port = ntohs(in->sin_port);
        memcpy(addr.ip, &in->sin_addr, 4);
    } else if (sockaddr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sockaddr;
        addr.family = 6;
        addr.port = ntohs(in6->sin6_port);
        memcpy(addr.ip, &in6->sin6_addr, 16);
    } else {
        return -EAFNOSUPPORT;
    }
    *ret_addr = addr;
    return 0;
}

// True when the first `bits` bits are equal.
static bool bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    if (memcmp(a, b, bits / 8) != 0) {
        return false;
    }
    uint8_t mask = (uint8_t)(0xff00u >> (bits % 8));
    return bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) & mask) == 0;
}

int prefix_parse(struct str text, struct prefix *ret_prefix)
{
    const char *slash = text.len > 0 ? memchr(text.at, '/', text.len) : NULL;
    if (slash == NULL) {
        return -EINVAL;
    }
    struct addr addr;
    uint64_t bits;
    struct str bits_text = {slash + 1, (size_t)(text.at + text.len - slash - 1)};
    if (addr_parse_ip((struct str){text.at, (size_t)(slash - text.at)}, &addr) < 0 ||
        str_to_u64(bits_text, family_bits(addr.family), &bits) < 0) {
        return -EINVAL;
    }
    for (unsigned bit = (unsigned)bits; bit < family_bits(addr.family); bit++) {
        if (addr.ip[bit / 8] & (0x80u >> (bit % 8))) {
            return -EINVAL;
        }
    }
    struct prefix prefix = {.family = addr.family, .bits = (uint8_t)bits};
    memcpy(prefix.ip, addr.ip, sizeof(prefix.ip));
    *ret_prefix = prefix;
    return 0;
}

struct prefix prefix_around(const struct addr *addr, uint8_t bits)
{
    struct prefix prefix = {.family = addr->family, .bits = bits};
    memcpy(prefix.ip, addr->ip, bits / 8);
    if (bits % 8 != 0) {
        prefix.ip[bits / 8] = addr->ip[bits / 8] & (uint8_t)(0xff00u >> (bits % 8));
    }
    return prefix;
}

const char *prefix_format(const struct prefix *prefix, char buffer[static ADDR_TEXT_LEN])
{
    struct addr addr = {.family = prefix->family};
    memcpy(addr.ip, prefix->ip, sizeof(addr.ip));
    char ip[ADDR_TEXT_LEN];
    snprintf(buffer, ADDR_TEXT_LEN, "%.45s/%u", addr_format_ip(&addr, ip), prefix->bits);
    return buffer;
}

bool prefix_contains(const struct prefix *prefix, const struct addr *addr)
{
    return prefix->family == addr->family && bits_equal(prefix->ip, addr->ip, prefix->bits);
}

bool prefix_overlaps(const struct prefix *a, const struct prefix *b)
{
    return a->family == b->family && bits_equal(a->ip, b->ip, MIN(a->bits, b->bits));
}

int prefix_nth(const struct prefix *prefix, uint64_t n, struct addr *ret_addr)
{
    unsigned host_bits = family_bits(prefix->family) - prefix->bits;
    if (host_bits < 64 && n >> host_bits != 0) {
        return -ERANGE;
    }
    struct addr addr = {.family = prefix->family};
    memcpy(addr.ip, prefix->ip, sizeof(addr.ip));
    for (int at = (int)family_bits(prefix->family) / 8 - 1; at >= 0 && n != 0; at--, n >>= 8) {
        addr.ip[at] |= (uint8_t)n;
    }
    *ret_addr = addr;
    return 0;
}
