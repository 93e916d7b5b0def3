// SPDX-License-Identifier: Apache-2.0
// IP addresses with ports, and prefixes (subnets). Text forms as RFC 5952 for IPv6:
// "10.0.0.5:8080", "[2001:db8::1]:80"; prefixes "10.1.0.0/24". No names, no resolver here.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/str.h"

struct addr {
    uint8_t family; // 4, 6, or 0: none
    uint16_t port;  // host order
    uint8_t ip[16]; // network order; the first 4 for IPv4
};

struct prefix {
    uint8_t family; // 4 or 6
    uint8_t bits;
    uint8_t ip[16]; // host bits are zero
};

enum { ADDR_TEXT_LEN = 56 };

// "1.2.3.4", "::1": port stays 0. -EINVAL for anything else (no leading zeros, no short forms).
int addr_parse_ip(struct str text, struct addr *ret_addr);
// "1.2.3.4:80", "[::1]:80"; port 1–65535.
int addr_parse(struct str text, struct addr *ret_addr);
// With the port when it is not 0. Returns buffer.
const char *addr_format(const struct addr *addr, char buffer[static ADDR_TEXT_LEN]);
const char *addr_format_ip(const struct addr *addr, char buffer[static ADDR_TEXT_LEN]);
bool addr_equal(const struct addr *a, const struct addr *b); // with port

socklen_t addr_to_sockaddr(const struct addr *addr, struct sockaddr_storage *ret_sockaddr);
// -EAFNOSUPPORT unless AF_INET or AF_INET6.
int addr_from_sockaddr(const struct sockaddr *sockaddr, struct addr *ret_addr);

// "10.1.0.0/24"; host bits must be zero (-EINVAL otherwise).
int prefix_parse(struct str text, struct prefix *ret_prefix);
// The prefix of that length that the address is in.
struct prefix prefix_around(const struct addr *addr, uint8_t bits);
const char *prefix_format(const struct prefix *prefix, char buffer[static ADDR_TEXT_LEN]);
bool prefix_contains(const struct prefix *prefix, const struct addr *addr);
bool prefix_overlaps(const struct prefix *a, const struct prefix *b);
// The n-th address of the prefix (0 is the network itself), port 0; -ERANGE past its end.
int prefix_nth(const struct prefix *prefix, uint64_t n, struct addr *ret_addr);
