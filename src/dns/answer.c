// SPDX-License-Identifier: Apache-2.0
#include "dns/answer.h"

#include <ldns/ldns.h>

enum { HEADER_LEN = 12, OPCODE_QUERY = 0 };

static void free_packet(ldns_pkt **packet)
{
    ldns_pkt_free(*packet);
}

// A header alone, for what cannot be parsed or is not served: id and RD of the question, no
// sections.
static size_t answer_header_only(struct str question, ldns_pkt_rcode rcode, uint8_t *answer,
                                 size_t room)
{
    if (room < HEADER_LEN) {
        return 0;
    }
    memset(answer, 0, HEADER_LEN);
    memcpy(answer, question.at, 2);
    uint8_t flags = (uint8_t)question.at[2];
    answer[2] = (uint8_t)(0x80 | (flags & 0x79)); // QR, the question's opcode and RD
    answer[3] = (uint8_t)rcode;
    return HEADER_LEN;
}

static bool push_record(ldns_pkt *packet, ldns_pkt_section section, const ldns_rdf *owner,
                        ldns_rr_type type, uint32_t ttl, ldns_rdf **fields, size_t field_count)
{
    ldns_rr *record = ldns_rr_new();
    ldns_rdf *owner_copy = ldns_rdf_clone(owner);
    bool ok = record != NULL && owner_copy != NULL;
    for (size_t i = 0; i < field_count; i++) {
        ok = ok && fields[i] != NULL;
    }
    if (ok) {
        ldns_rr_set_owner(record, TAKE_PTR(owner_copy));
        ldns_rr_set_type(record, type);
        ldns_rr_set_class(record, LDNS_RR_CLASS_IN);
        ldns_rr_set_ttl(record, ttl);
        for (size_t i = 0; i < field_count && ok; i++) {
            ok = ldns_rr_push_rdf(record, fields[i]);
            if (ok) {
                fields[i] = NULL;
            }
        }
        ok = ok && ldns_pkt_push_rr(packet, section, record);
        if (ok) {
            record = NULL;
        }
    }
    for (size_t i = 0; i < field_count; i++) {
        ldns_rdf_deep_free(fields[i]);
    }
    ldns_rdf_deep_free(owner_copy);
    ldns_rr_free(record);
    return ok;
}

static ldns_rdf *name_field(const struct zone_entry *entry)
{
    return ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, entry->wire_len, entry->wire);
}

static ldns_rdf *number_field(uint32_t value)
{
    return ldns_native2rdf_int32(LDNS_RDF_TYPE_INT32, value);
}

// "hostmaster.<apex>"
static ldns_rdf *contact_field(const struct zone *zone)
{
    static const uint8_t label[] = "\012hostmaster";
    uint8_t wire[DNS_NAME_MAX];
    const struct zone_entry *apex = zone_apex(zone);
    size_t label_len = sizeof(label) - 1;
    if (label_len + apex->wire_len > sizeof(wire)) {
        return name_field(apex);
    }
    memcpy(wire, label, label_len);
    memcpy(wire + label_len, apex->wire, apex->wire_len);
    return ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, label_len + apex->wire_len, wire);
}

// In a negative answer the SOA's TTL is the time the "no" may be kept (RFC 2308 §3, §5).
static bool push_soa(ldns_pkt *packet, ldns_pkt_section section, const struct zone *zone,
                     const ldns_rdf *owner, uint32_t ttl)
{
    ldns_rdf *fields[] = {
        name_field(zone_server(zone)),
        contact_field(zone),
        number_field(zone_serial(zone)),
        number_field(3600),  // refresh
        number_field(600),   // retry
        number_field(86400), // expire
        number_field(ZONE_TTL_S),
    };
    return push_record(packet, section, owner, LDNS_RR_TYPE_SOA, ttl, fields, ARRAY_LEN(fields));
}

static bool push_negative(ldns_pkt *packet, const struct zone *zone)
{
    ldns_rdf *apex = name_field(zone_apex(zone));
    bool ok = apex != NULL && push_soa(packet, LDNS_SECTION_AUTHORITY, zone, apex, ZONE_TTL_S);
    ldns_rdf_deep_free(apex);
    return ok;
}

// All addresses of one family, starting at another one each time: what most clients take is the
// first.
static bool push_addresses(ldns_pkt *packet, ldns_pkt_section section, const ldns_rdf *owner,
                           const struct zone_entry *entry, bool v6, uint32_t ttl, uint64_t rotation)
{
    const struct addr *addresses = entry->addresses + (v6 ? entry->v4_count : 0);
    size_t count = v6 ? entry->v6_count : entry->v4_count;
    for (size_t i = 0; i < count; i++) {
        const struct addr *address = &addresses[(rotation + i) % count];
        ldns_rdf *field = ldns_rdf_new_frm_data(v6 ? LDNS_RDF_TYPE_AAAA : LDNS_RDF_TYPE_A,
                                                v6 ? 16 : 4, address->ip);
        if (!push_record(packet, section, owner, v6 ? LDNS_RR_TYPE_AAAA : LDNS_RR_TYPE_A, ttl,
                         &field, 1)) {
            return false;
        }
    }
    return true;
}

static bool push_server(ldns_pkt *packet, const struct zone *zone, const ldns_rdf *owner)
{
    const struct zone_entry *server = zone_server(zone);
    ldns_rdf *field = name_field(server);
    ldns_rdf *glue_owner = name_field(server);
    bool ok = push_record(packet, LDNS_SECTION_ANSWER, owner, LDNS_RR_TYPE_NS,
                          ZONE_INFRASTRUCTURE_TTL_S, &field, 1) &&
              glue_owner != NULL;
    for (int v6 = 0; v6 <= 1 && ok; v6++) {
        ok = push_addresses(packet, LDNS_SECTION_ADDITIONAL, glue_owner, server, v6 == 1,
                            ZONE_INFRASTRUCTURE_TTL_S, 0);
    }
    ldns_rdf_deep_free(glue_owner);
    return ok;
}

// RFC 8482 §4.2: a question for everything gets one small made-up record.
static bool push_any(ldns_pkt *packet, const ldns_rdf *owner)
{
    ldns_rdf *fields[] = {
        ldns_rdf_new_frm_data(LDNS_RDF_TYPE_STR, 8, "\007RFC8482"),
        ldns_rdf_new_frm_data(LDNS_RDF_TYPE_STR, 1, "\000"),
    };
    return push_record(packet, LDNS_SECTION_ANSWER, owner, LDNS_RR_TYPE_HINFO, ZONE_TTL_S, fields,
                       ARRAY_LEN(fields));
}

static bool push_found(ldns_pkt *packet, const struct zone *zone, const struct zone_entry *entry,
                       const ldns_rr *asked, uint64_t rotation)
{
    const ldns_rdf *owner = ldns_rr_owner(asked);
    ldns_rr_type type = ldns_rr_get_type(asked);
    bool apex = entry == zone_apex(zone);
    uint32_t ttl = entry == zone_server(zone) ? ZONE_INFRASTRUCTURE_TTL_S : ZONE_TTL_S;
    if (type == LDNS_RR_TYPE_ANY) {
        return push_any(packet, owner);
    }
    if (type == LDNS_RR_TYPE_A && entry->v4_count > 0) {
        return push_addresses(packet, LDNS_SECTION_ANSWER, owner, entry, false, ttl, rotation);
    }
    if (type == LDNS_RR_TYPE_AAAA && entry->v6_count > 0) {
        return push_addresses(packet, LDNS_SECTION_ANSWER, owner, entry, true, ttl, rotation);
    }
    if (apex && type == LDNS_RR_TYPE_SOA) {
        return push_soa(packet, LDNS_SECTION_ANSWER, zone, owner, ZONE_INFRASTRUCTURE_TTL_S);
    }
    if (apex && type == LDNS_RR_TYPE_NS) {
        return push_server(packet, zone, owner);
    }
    return push_negative(packet, zone);
}

// Fills the sections and the code; false when memory is out.
static bool fill(ldns_pkt *packet, const struct zone *zone, const ldns_rr *asked, uint64_t rotation)
{
    const ldns_rdf *name = ldns_rr_owner(asked);
    ldns_rr_type type = ldns_rr_get_type(asked);
    const struct zone_entry *entry = NULL;
    enum zone_match match = zone_find(zone, ldns_rdf_data(name), ldns_rdf_size(name), &entry);
    if (match == ZONE_OUTSIDE || ldns_rr_get_class(asked) != LDNS_RR_CLASS_IN ||
        type == LDNS_RR_TYPE_AXFR || type == LDNS_RR_TYPE_IXFR) {
        ldns_pkt_set_rcode(packet, LDNS_RCODE_REFUSED);
        return true;
    }
    ldns_pkt_set_aa(packet, true);
    if (match == ZONE_NO_NAME) {
        ldns_pkt_set_rcode(packet, LDNS_RCODE_NXDOMAIN);
        return push_negative(packet, zone);
    }
    return push_found(packet, zone, entry, asked, rotation);
}

static size_t write_packet(const ldns_pkt *packet, uint8_t *answer, size_t room)
{
    uint8_t *wire = NULL;
    size_t len = 0;
    if (ldns_pkt2wire(&wire, packet, &len) != LDNS_STATUS_OK) {
        return 0;
    }
    if (len <= room) {
        memcpy(answer, wire, len);
    }
    free(wire);
    return len;
}

static ldns_pkt *answer_new(const ldns_pkt *asked_packet, const ldns_rr *asked)
{
    ldns_pkt *packet = ldns_pkt_new();
    ldns_rr *question = ldns_rr_clone(asked);
    if (packet == NULL || question == NULL ||
        !ldns_pkt_push_rr(packet, LDNS_SECTION_QUESTION, question)) {
        ldns_rr_free(question);
        ldns_pkt_free(packet);
        return NULL;
    }
    ldns_pkt_set_id(packet, ldns_pkt_id(asked_packet));
    ldns_pkt_set_qr(packet, true);
    ldns_pkt_set_rd(packet, ldns_pkt_rd(asked_packet));
    if (ldns_pkt_edns(asked_packet)) {
        ldns_pkt_set_edns_udp_size(packet, DNS_UDP_EDNS_MAX);
    }
    return packet;
}

size_t dns_answer(const struct zone *zone, struct str question, struct dns_transport transport,
                  uint8_t *ret_answer, size_t room)
{
    if (question.len < HEADER_LEN || (question.at[2] & 0x80) != 0) {
        return 0; // not a question: answering could make two servers talk for ever
    }
    if (((uint8_t)question.at[2] >> 3 & 0x0f) != OPCODE_QUERY) {
        return answer_header_only(question, LDNS_RCODE_NOTIMPL, ret_answer, room);
    }
    cleanup(free_packet) ldns_pkt *asked_packet = NULL;
    if (ldns_wire2pkt(&asked_packet, (const uint8_t *)question.at, question.len) !=
            LDNS_STATUS_OK ||
        ldns_pkt_qdcount(asked_packet) != 1 || ldns_pkt_ancount(asked_packet) != 0 ||
        ldns_rr_list_rr_count(ldns_pkt_question(asked_packet)) != 1) {
        return answer_header_only(question, LDNS_RCODE_FORMERR, ret_answer, room);
    }
    const ldns_rr *asked = ldns_rr_list_rr(ldns_pkt_question(asked_packet), 0);
    cleanup(free_packet) ldns_pkt *packet = answer_new(asked_packet, asked);
    if (packet == NULL) {
        return 0;
    }
    if (ldns_pkt_edns(asked_packet) && ldns_pkt_edns_version(asked_packet) != 0) {
        ldns_pkt_set_edns_extended_rcode(packet, 1); // 1 << 4 | 0: BADVERS
    } else if (!fill(packet, zone, asked, transport.rotation)) {
        return answer_header_only(question, LDNS_RCODE_SERVFAIL, ret_answer, room);
    }

    size_t most = DNS_STREAM_MAX;
    if (!transport.stream) {
        most = ldns_pkt_edns(asked_packet)
                   ? MIN(MAX(ldns_pkt_edns_udp_size(asked_packet), DNS_UDP_PLAIN_MAX),
                         DNS_UDP_EDNS_MAX)
                   : DNS_UDP_PLAIN_MAX;
    }
    most = MIN(most, room);
    size_t len = write_packet(packet, ret_answer, most);
    if (len <= most) {
        return len;
    }
    // Too long: the question alone with TC, so that the client comes by TCP.
    ldns_pkt_free(packet);
    packet = answer_new(asked_packet, asked);
    if (packet == NULL) {
        return 0;
    }
    ldns_pkt_set_aa(packet, true);
    ldns_pkt_set_tc(packet, true);
    len = write_packet(packet, ret_answer, most);
    return len <= most ? len : 0;
}
