// SPDX-License-Identifier: Apache-2.0
#include "dns/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <ldns/ldns.h>

static struct zone *zone;

// shop.john: 2 × IPv4, 1 × IPv6; many.john: 100 × IPv4
static int build_zone(void **state)
{
    static struct addr shop[3], many[100], server;
    addr_parse_ip(STR("10.90.0.16"), &shop[0]);
    addr_parse_ip(STR("fd00::16"), &shop[1]);
    addr_parse_ip(STR("10.90.0.17"), &shop[2]);
    addr_parse_ip(STR("10.90.0.1"), &server);
    struct prefix prefix;
    prefix_parse(STR("10.90.1.0/24"), &prefix);
    for (unsigned i = 0; i < ARRAY_LEN(many); i++) {
        prefix_nth(&prefix, i, &many[i]);
    }
    struct zone_name names[] = {{STR("shop.john"), shop, 3}, {STR("many.john"), many, 100}};
    struct zone_source source = {STR("weir.internal"), 42, &server, 1, names, 2};
    return zone_build(&source, &zone, NULL);
}

static int free_zone(void **state)
{
    zone = zone_free(zone);
    return 0;
}

struct asked {
    const char *name;
    ldns_rr_type type;
    uint16_t edns_size;
    uint8_t edns_version;
    bool stream;
    uint64_t rotation;
};

static ldns_pkt *ask(struct asked asked)
{
    ldns_pkt *question = ldns_pkt_query_new(ldns_dname_new_frm_str(asked.name), asked.type,
                                            LDNS_RR_CLASS_IN, LDNS_RD);
    ldns_pkt_set_id(question, 4242);
    if (asked.edns_size != 0) {
        ldns_pkt_set_edns_udp_size(question, asked.edns_size);
        ldns_pkt_set_edns_version(question, asked.edns_version);
    }
    uint8_t *wire = NULL;
    size_t len = 0;
    assert_int_equal(ldns_pkt2wire(&wire, question, &len), LDNS_STATUS_OK);
    static uint8_t answer[DNS_STREAM_MAX];
    size_t answer_len =
        dns_answer(zone, (struct str){(char *)wire, len},
                   (struct dns_transport){asked.stream, asked.rotation}, answer, sizeof(answer));
    free(wire);
    ldns_pkt_free(question);
    assert_true(answer_len > 0);
    if (!asked.stream) {
        assert_true(answer_len <= DNS_UDP_EDNS_MAX);
        assert_true(asked.edns_size != 0 || answer_len <= DNS_UDP_PLAIN_MAX);
    }
    ldns_pkt *packet = NULL;
    assert_int_equal(ldns_wire2pkt(&packet, answer, answer_len), LDNS_STATUS_OK);
    assert_int_equal(ldns_pkt_id(packet), 4242);
    assert_true(ldns_pkt_qr(packet) && ldns_pkt_rd(packet) && !ldns_pkt_ra(packet));
    return packet;
}

static void expect(struct asked asked, ldns_pkt_rcode rcode, bool authoritative, unsigned answers,
                   unsigned authority, unsigned additional)
{
    ldns_pkt *packet = ask(asked);
    assert_int_equal(ldns_pkt_get_rcode(packet), rcode);
    assert_int_equal(ldns_pkt_aa(packet), authoritative);
    assert_int_equal(ldns_pkt_ancount(packet), answers);
    assert_int_equal(ldns_pkt_nscount(packet), authority);
    assert_int_equal(ldns_rr_list_rr_count(ldns_pkt_additional(packet)), additional);
    if (authority == 1) {
        ldns_rr *soa = ldns_rr_list_rr(ldns_pkt_authority(packet), 0);
        assert_int_equal(ldns_rr_get_type(soa), LDNS_RR_TYPE_SOA);
        assert_int_equal(ldns_rr_ttl(soa), ZONE_TTL_S);
        assert_int_equal(ldns_rdf2native_int32(ldns_rr_rdf(soa, 2)), 42);
    }
    ldns_pkt_free(packet);
}

static void each_question_gets_its_kind_of_answer(void **state)
{
    expect((struct asked){"shop.john.weir.internal.", LDNS_RR_TYPE_A}, 0, true, 2, 0, 0);
    expect((struct asked){"shop.john.weir.internal.", LDNS_RR_TYPE_AAAA}, 0, true, 1, 0, 0);
    // NODATA: wrong type, an empty name above others
    expect((struct asked){"shop.john.weir.internal.", LDNS_RR_TYPE_MX}, 0, true, 0, 1, 0);
    expect((struct asked){"many.john.weir.internal.", LDNS_RR_TYPE_AAAA}, 0, true, 0, 1, 0);
    expect((struct asked){"john.weir.internal.", LDNS_RR_TYPE_A}, 0, true, 0, 1, 0);
    expect((struct asked){"nobody.john.weir.internal.", LDNS_RR_TYPE_A}, LDNS_RCODE_NXDOMAIN, true,
           0, 1, 0);
    expect((struct asked){"weir.internal.", LDNS_RR_TYPE_SOA}, 0, true, 1, 0, 0);
    expect((struct asked){"weir.internal.", LDNS_RR_TYPE_NS}, 0, true, 1, 0, 1);
    expect((struct asked){"shop.john.weir.internal.", LDNS_RR_TYPE_ANY}, 0, true, 1, 0, 0);
    expect((struct asked){"example.net.", LDNS_RR_TYPE_A}, LDNS_RCODE_REFUSED, false, 0, 0, 0);
    expect((struct asked){".", LDNS_RR_TYPE_NS}, LDNS_RCODE_REFUSED, false, 0, 0, 0);
    expect((struct asked){"weir.internal.", LDNS_RR_TYPE_AXFR}, LDNS_RCODE_REFUSED, false, 0, 0, 0);
}

static void the_letters_of_the_question_come_back(void **state)
{
    ldns_pkt *packet = ask((struct asked){"sHoP.JOHN.weir.InternaL.", LDNS_RR_TYPE_A});
    char *asked = ldns_rdf2str(ldns_rr_owner(ldns_rr_list_rr(ldns_pkt_question(packet), 0)));
    char *owner = ldns_rdf2str(ldns_rr_owner(ldns_rr_list_rr(ldns_pkt_answer(packet), 0)));
    assert_string_equal(asked, "sHoP.JOHN.weir.InternaL.");
    assert_string_equal(owner, asked);
    free(asked);
    free(owner);
    ldns_pkt_free(packet);
}

static void each_address_comes_first_in_turn(void **state)
{
    char *first[3];
    for (uint64_t i = 0; i < 3; i++) {
        ldns_pkt *packet =
            ask((struct asked){"shop.john.weir.internal.", LDNS_RR_TYPE_A, .rotation = i});
        first[i] = ldns_rdf2str(ldns_rr_rdf(ldns_rr_list_rr(ldns_pkt_answer(packet), 0), 0));
        ldns_pkt_free(packet);
    }
    assert_string_equal(first[0], "10.90.0.16");
    assert_string_equal(first[1], "10.90.0.17");
    assert_string_equal(first[2], first[0]);
    for (int i = 0; i < 3; i++) {
        free(first[i]);
    }
}

static void what_does_not_fit_into_a_datagram_is_cut_and_comes_whole_by_stream(void **state)
{
    const uint16_t sizes[] = {0, 512, 1232, 65535, 1};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        ldns_pkt *packet =
            ask((struct asked){"many.john.weir.internal.", LDNS_RR_TYPE_A, .edns_size = sizes[i]});
        assert_true(ldns_pkt_tc(packet));
        assert_int_equal(ldns_pkt_ancount(packet), 0);
        assert_int_equal(ldns_pkt_edns(packet), sizes[i] != 0);
        ldns_pkt_free(packet);
    }
    ldns_pkt *packet =
        ask((struct asked){"many.john.weir.internal.", LDNS_RR_TYPE_A, .stream = true});
    assert_false(ldns_pkt_tc(packet));
    assert_int_equal(ldns_pkt_ancount(packet), 100);
    ldns_pkt_free(packet);
}

static void an_unknown_edns_version_is_named_so(void **state)
{
    ldns_pkt *packet = ask((struct asked){"shop.john.weir.internal.", LDNS_RR_TYPE_A,
                                          .edns_size = 1232, .edns_version = 1});
    assert_int_equal(ldns_pkt_get_rcode(packet), 0);
    assert_int_equal(ldns_pkt_edns_extended_rcode(packet), 1); // BADVERS = 16
    assert_int_equal(ldns_pkt_ancount(packet), 0);
    ldns_pkt_free(packet);
}

static size_t raw(const char *bytes, size_t len, uint8_t *answer)
{
    return dns_answer(zone, (struct str){bytes, len}, (struct dns_transport){0}, answer, 512);
}

static void what_is_no_question_gets_no_answer_or_an_error(void **state)
{
    uint8_t answer[512];
    assert_int_equal(raw("", 0, answer), 0);
    assert_int_equal(raw("\x10\x92\x01\0\0\1\0\0\0\0\0", 11, answer), 0);
    // An answer (QR) is never answered.
    assert_int_equal(raw("\x10\x92\x81\0\0\1\0\0\0\0\0\0", 12, answer), 0);
    // One question promised, none there: FORMERR. Two questions: FORMERR (RFC 9619).
    assert_int_equal(raw("\x10\x92\x01\0\0\1\0\0\0\0\0\0", 12, answer), 12);
    assert_int_equal(answer[3], LDNS_RCODE_FORMERR);
    static const char two[] = "\x10\x92\x01\0\0\2\0\0\0\0\0\0\1a\0\0\1\0\1\1b\0\0\1\0\1";
    assert_int_equal(raw(two, sizeof(two) - 1, answer), 12);
    assert_int_equal(answer[3], LDNS_RCODE_FORMERR);
    // A name that points at itself.
    static const char loop[] = "\x10\x92\x01\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1";
    assert_int_equal(raw(loop, sizeof(loop) - 1, answer), 12);
    assert_int_equal(answer[3], LDNS_RCODE_FORMERR);
    // NOTIFY (4) and UPDATE (5): NOTIMP, with the id and opcode of the question.
    assert_int_equal(raw("\x10\x92\x20\0\0\1\0\0\0\0\0\0", 12, answer), 12);
    assert_int_equal(answer[0], 0x10);
    assert_int_equal(answer[2], 0xa0);
    assert_int_equal(answer[3], LDNS_RCODE_NOTIMPL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_question_gets_its_kind_of_answer),
        cmocka_unit_test(the_letters_of_the_question_come_back),
        cmocka_unit_test(each_address_comes_first_in_turn),
        cmocka_unit_test(what_does_not_fit_into_a_datagram_is_cut_and_comes_whole_by_stream),
        cmocka_unit_test(an_unknown_edns_version_is_named_so),
        cmocka_unit_test(what_is_no_question_gets_no_answer_or_an_error),
    };
    return cmocka_run_group_tests(tests, build_zone, free_zone);
}
