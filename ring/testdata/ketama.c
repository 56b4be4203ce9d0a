/*
 * Prints what libmemcached answers on its weighted ketama ring: the known
 * answers that ring/known_test.go reproduces. On Debian 12, as it was made:
 *
 *	apt-get install gcc libmemcached-dev          # libmemcached 1.1.4
 *	cc -Wall -o /tmp/ketama ring/testdata/ketama.c -lmemcached -lhashkit
 *	/tmp/ketama > ring/testdata/ketama.txt
 *
 * Nothing is connected to. The output is lines of words:
 *
 *	list NAME
 *	server HOST PORT WEIGHT POINTS                     in order, from index 0
 *	continuum COUNT LOWEST INDEX HIGHEST INDEX DIGEST  DIGEST: FNV-1a, 64 bits, of every point's
 *	                                                   hash and index, 4 bytes each, little-endian
 *	key MD5 INDEX FNV1A_64 INDEX KEY                   each hash in hexadecimal and the server it gives
 */
#include <inttypes.h>
#include <libmemcached/memcached.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libmemcached's own, which its headers only name. */
struct memcached_continuum_item_st {
	uint32_t index;
	uint32_t value;
};

static const char *list_name;
static memcached_st *memc;
static uint32_t weights[100]; /* as they were given */

static void must(memcached_return_t rc, const char *what) {
	if (rc != MEMCACHED_SUCCESS) {
		fprintf(stderr, "%s: %s: %s\n", list_name, what, memcached_strerror(memc, rc));
		exit(1);
	}
}

static void begin(const char *name) {
	list_name = name;
	memc = memcached_create(NULL);
	must(memcached_behavior_set(memc, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1), "KETAMA_WEIGHTED");
}

static void server(const char *host, int port, uint32_t weight) {
	weights[memcached_server_count(memc)] = weight;
	must(memcached_server_add_with_weight(memc, host, port, weight), host);
}

static void servers(int count, const char *host_format, int first, int (*port)(int), uint32_t (*weight)(int)) {
	char host[64];
	for (int i = 0; i < count; i++) {
		snprintf(host, sizeof host, host_format, first + i);
		server(host, port(i), weight(i));
	}
}

static uint64_t fnv1a(uint64_t h, uint32_t v) {
	for (int i = 0; i < 4; i++, v >>= 8)
		h = (h ^ (v & 0xff)) * 0x100000001b3ULL;
	return h;
}

static void print_ring(void) {
	printf("list %s\n", list_name);
	uint32_t n = memc->ketama.continuum_points_counter;
	const struct memcached_continuum_item_st *p = memc->ketama.continuum;
	uint64_t digest = 0xcbf29ce484222325ULL;
	uint32_t *points = calloc(memcached_server_count(memc), sizeof *points);
	for (uint32_t i = 0; i < n; i++) {
		points[p[i].index]++;
		digest = fnv1a(fnv1a(digest, p[i].value), p[i].index);
	}
	for (uint32_t i = 0; i < memcached_server_count(memc); i++) {
		const memcached_instance_st *s = memcached_server_instance_by_position(memc, i);
		printf("server %s %d %" PRIu32 " %" PRIu32 "\n", memcached_server_name(s), memcached_server_port(s), weights[i],
		       points[i]);
	}
	printf("continuum %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %016" PRIx64 "\n", n, p[0].value,
	       p[0].index, p[n - 1].value, p[n - 1].index, digest);
	free(points);
}

static uint32_t place(const char *key, size_t len, memcached_hash_t hash) {
	must(memcached_behavior_set_key_hash(memc, hash), "key hash");
	return memcached_generate_hash(memc, key, len);
}

static void print_key(const char *key) {
	size_t len = strlen(key);
	printf("key %08" PRIx32 " %" PRIu32 " %08" PRIx32 " %" PRIu32 " %s\n",
	       memcached_generate_hash_value(key, len, MEMCACHED_HASH_MD5), place(key, len, MEMCACHED_HASH_MD5),
	       memcached_generate_hash_value(key, len, MEMCACHED_HASH_FNV1A_64), place(key, len, MEMCACHED_HASH_FNV1A_64),
	       key);
}

static void finish(int keys) {
	print_ring();
	char key[251];
	for (int i = 0; i < keys; i++) {
		snprintf(key, sizeof key, "user:%d", i * 7919);
		print_key(key);
	}
	/* Keys of every length about which MD5 thinks twice, and bytes above 127. */
	static const int lengths[] = {1, 54, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129, 250};
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		memset(key, 'a' + (int) i, lengths[i]);
		key[lengths[i]] = 0;
		print_key(key);
	}
	print_key("schl\xc3\xbcssel");
	print_key("\xe9\x8d\xb5\xe5\x8c\x99");
	print_key("\xff\xfe\x80");
	print_key("VDEAAAAA"); /* above every point of the eight weighted servers */
	print_key("tie-82");   /* at a point that the last list has twice */
	print_key("tie-265");
	print_key("tie-658");
	memcached_free(memc);
}

static int memcached_port(int i) { (void) i; return 11211; }
static int other_ports(int i) { return 11212 + i % 3; }
static int some_other_ports(int i) { return i % 2 ? 11211 : 21000 + i; }
static uint32_t one(int i) { (void) i; return 1; }
static uint32_t five(int i) { (void) i; return 5; }
static uint32_t none(int i) { (void) i; return 0; }
static uint32_t uneven(int i) { return 1 + i * 37 % 100; }
static uint32_t large(int i) { return 4000000000U - (uint32_t) i * 400000000U; }
static uint32_t published(int i) {
	static const uint32_t w[] = {600, 300, 200, 350, 1000, 800, 950, 100};
	return w[i];
}

int main(void) {
	begin("one server");
	servers(1, "10.0.1.%d", 1, memcached_port, one);
	finish(50);

	begin("two servers");
	servers(2, "10.0.1.%d", 1, memcached_port, one);
	finish(200);

	begin("eight servers");
	servers(8, "10.0.1.%d", 1, memcached_port, one);
	finish(400);

	begin("eight servers, weighted");
	servers(8, "10.0.1.%d", 1, memcached_port, published);
	finish(400);

	begin("eight servers, other ports");
	servers(8, "10.0.1.%d", 1, other_ports, five);
	finish(400);

	begin("eight servers, weight 0");
	servers(8, "cache%d.example.com", 1, some_other_ports, none);
	finish(200);

	begin("eight servers, large weights");
	servers(8, "cache%d.example.com", 1, memcached_port, large);
	finish(200);

	begin("names, IPv6, several on a host");
	server("10.0.0.1", 11211, 1);
	server("10.0.0.1", 11212, 2);
	server("10.0.0.1", 21211, 3);
	server("2001:db8::1", 11211, 2); /* sorted as [2001:db8::1]:11211 */
	server("2001:db8::1", 11212, 1);
	server("localhost", 11211, 1);
	server("memcached-0.memcached.default.svc.cluster.local", 11211, 3);
	finish(300);

	begin("twenty-five servers");
	servers(25, "10.0.1.%d", 101, memcached_port, one);
	finish(400);

	begin("forty-seven servers, some other ports");
	servers(47, "10.0.1.%d", 101, some_other_ports, one);
	finish(400);

	begin("forty-seven servers, weighted");
	servers(47, "10.0.1.%d", 101, other_ports, uneven);
	finish(400);

	begin("a hundred servers");
	servers(100, "10.0.1.%d", 100, memcached_port, one);
	finish(600);

	begin("a hundred servers, weighted");
	servers(100, "10.0.1.%d", 100, some_other_ports, uneven);
	finish(600);

	begin("a server too light for a point");
	server("10.0.1.1", 11211, 1);
	server("10.0.1.2", 11211, 1000);
	server("10.0.1.3", 11211, 1000);
	finish(100);

	/* Both have a point at 611610764, to which the keys tie-* come. */
	begin("two servers with a point in common");
	server("10.1.118.109", 11211, 1);
	server("10.1.134.181", 11211, 1);
	finish(20);
	return 0;
}
