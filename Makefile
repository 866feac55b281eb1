# outbox: PostgreSQL extension (PGXS) and the programs outbox-kafka, outbox-http.
#
#	make				build all
#	make install		install all into the server that PG_CONFIG names
#
# base/, record/ and the core of avro/ are built twice: for the server, and
# with FRONTEND for the programs.  Files named pg_*.c are the server's alone.

EXTENSION = outbox
EXTVERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" outbox.control)
MODULE_big = outbox

ROOMS = base record avro state catalog schema rowcodec emit capture source eventlog relay jobs admin
OBJS = src/outbox.o src/guc.o $(patsubst %.c,%.o,$(sort $(foreach room,$(ROOMS),$(wildcard src/$(room)/*.c))) )

# The install script is the rooms' parts in order of dependency.
SQL_PARTS = $(foreach room,catalog avro schema rowcodec eventlog emit admin jobs capture,$(sort $(wildcard src/$(room)/*.sql)))
DATA = $(wildcard sql/outbox--*--*.sql)
DATA_built = sql/outbox--$(EXTVERSION).sql

PG_CPPFLAGS = -I$(CURDIR)/src
OUTBOX_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers -Wno-cast-function-type -Wno-clobbered
PG_CFLAGS = $(OUTBOX_CFLAGS) -DOUTBOX_VERSION='"$(EXTVERSION)"'

KAFKA_PROGRAM = build/outbox-kafka
KAFKA_SRC = $(wildcard src/base/*.c src/record/*.c src/outbox-kafka/*.c) \
	$(filter-out src/avro/pg_%,$(wildcard src/avro/*.c))
KAFKA_OBJS = $(patsubst src/%.c,build/obj/%.o,$(KAFKA_SRC))

HTTP_PROGRAM = build/outbox-http
HTTP_SRC = $(wildcard src/base/*.c src/outbox-http/*.c)
HTTP_OBJS = $(patsubst src/%.c,build/obj/%.o,$(HTTP_SRC))

EXTRA_CLEAN = build $(DATA_built)

# No JIT bitcode: nothing here is worth inlining into expressions.
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

all: $(KAFKA_PROGRAM) $(HTTP_PROGRAM)

$(DATA_built): $(SQL_PARTS) outbox.control
	@{ printf '%s\n' '\echo Use "CREATE EXTENSION outbox" to load this file. \quit'; \
	   cat $(SQL_PARTS); } >$@.tmp && mv $@.tmp $@

# Header dependencies, for both worlds (PGXS tracks them only on request).
HEADERS = $(wildcard src/*.h src/*/*.h)
$(OBJS): $(HEADERS)
$(KAFKA_OBJS) $(HTTP_OBJS): $(HEADERS)

PROGRAM_CFLAGS = $(filter-out -flto% -ffat-lto-objects,$(CFLAGS)) $(OUTBOX_CFLAGS) -pthread
build/obj/outbox-kafka/diagnose_library.o: PROGRAM_CFLAGS += \
	-DOUTBOX_AVRO_VERSION='"$(shell pkg-config --modversion avro-c)"'

build/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(PROGRAM_CFLAGS) -DFRONTEND -D_GNU_SOURCE -Isrc -I$(shell $(PG_CONFIG) --includedir-server) \
		$(shell pkg-config --cflags rdkafka libcurl libmicrohttpd libpq) -c -o $@ $<

$(KAFKA_PROGRAM): $(KAFKA_OBJS)
	$(CC) $(PROGRAM_CFLAGS) -o $@ $(KAFKA_OBJS) \
		-L$(shell $(PG_CONFIG) --pkglibdir) -lpgcommon -lpgport \
		$(shell pkg-config --libs rdkafka libcurl) -lavro -ljansson -lcrypto -lm

$(HTTP_PROGRAM): $(HTTP_OBJS)
	$(CC) $(PROGRAM_CFLAGS) -o $@ $(HTTP_OBJS) \
		-L$(shell $(PG_CONFIG) --pkglibdir) -lpgcommon -lpgport \
		$(shell pkg-config --libs libmicrohttpd libpq) -ljansson -lcrypto -lm

# install(1) unlinks first: a copy onto a mapped file would crash its users.
install: install-program
install-program: $(KAFKA_PROGRAM) $(HTTP_PROGRAM)
	$(MKDIR_P) '$(DESTDIR)$(bindir)'
	$(INSTALL_PROGRAM) $(KAFKA_PROGRAM) '$(DESTDIR)$(bindir)/outbox-kafka'
	$(INSTALL_PROGRAM) $(HTTP_PROGRAM) '$(DESTDIR)$(bindir)/outbox-http'

uninstall: uninstall-program
uninstall-program:
	rm -f '$(DESTDIR)$(bindir)/outbox-kafka' '$(DESTDIR)$(bindir)/outbox-http'

.PHONY: install-program uninstall-program
