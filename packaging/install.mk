# `make install`, by hand or into a package's folder (DESTDIR), `make uninstall`, and the packages.
MAN1 = $(wildcard man/*.1)
MAN5 = $(wildcard man/*.5 agent/*.5)
MAN8 = $(wildcard man/*.8 agent/*.8)
EXAMPLES   = $(wildcard rules/examples/*.json)
# Dashboards and alert rules, as far as there are any.
MONITORING = $(wildcard monitoring/*.json monitoring/*.yml)
DOCS       = $(wildcard README*.md CHANGELOG.md SECURITY.md)
PAGES      = $(wildcard docs/*.md)
MANDIR ?= $(PREFIX)/share/man
DOCDIR ?= $(PREFIX)/share/doc/weir
DATADIR = $(PREFIX)/share/weir
COMPLETIONS = $(PREFIX)/share/bash-completion/completions
SYSUSERSDIR = $(PREFIX)/lib/sysusers.d

# What lies in folders of others, a file each.
ALONE = $(PREFIX)/bin/weir $(PREFIX)/sbin/weir-agent $(LIBDIR)/libweir.so $(UNITDIR)/weir-agent.service $(SYSUSERSDIR)/weir.conf \
        $(COMPLETIONS)/weir $(SYSCONFDIR)/logrotate.d/weir

# $(call put,MODE,FILE,PATH): into its place in one step. Programs run the library and the agent meanwhile: they keep the file that
# they have, and no program that starts in between meets half a library.
put = install -D -m $(1) $(2) '$(DESTDIR)$(3).new' && mv -f '$(DESTDIR)$(3).new' '$(DESTDIR)$(3)'
# $(call put_all,FILES,FOLDER)
put_all = $(if $(strip $(1)),install -d '$(DESTDIR)$(2)' && install -m 644 $(1) '$(DESTDIR)$(2)')

.PHONY: install uninstall deb rpm
install: all
	$(Q)$(call put,755,$(O)/weir,$(PREFIX)/bin/weir)
	$(Q)$(call put,644,$(O)/libweir.so,$(LIBDIR)/libweir.so)
	$(Q)sed 's|/usr/sbin/weir-agent|$(PREFIX)/sbin/weir-agent|' agent/weir-agent.service >$(O)/weir-agent.service
	$(Q)$(call put,644,$(O)/weir-agent.service,$(UNITDIR)/weir-agent.service)
	$(Q)$(call put,644,agent/weir.sysusers,$(SYSUSERSDIR)/weir.conf)
	$(Q)$(call put,644,agent/weir.logrotate,$(SYSCONFDIR)/logrotate.d/weir)
	$(Q)$(call put,755,$(O)/weir-agent,$(PREFIX)/sbin/weir-agent)
	$(Q)install -d '$(DESTDIR)$(SYSCONFDIR)/weir/rules.d'
	$(Q)$(call put_all,$(MAN1),$(MANDIR)/man1)
	$(Q)$(call put_all,$(MAN5),$(MANDIR)/man5)
	$(Q)$(call put_all,$(MAN8),$(MANDIR)/man8)
	$(Q)$(call put_all,completion/weir,$(COMPLETIONS))
	$(Q)$(call put_all,rules/weir-rules.schema.json,$(DATADIR))
	$(Q)$(call put_all,$(EXAMPLES),$(DATADIR)/examples)
	$(Q)$(call put_all,$(MONITORING),$(DATADIR)/monitoring)
	$(Q)$(call put_all,$(DOCS),$(DOCDIR))
	$(Q)$(call put_all,$(PAGES),$(DOCDIR)/docs)
	$(Q)ln -sfn '$(DATADIR)' '$(DESTDIR)$(DOCDIR)/rules' # the pages refer to rules/examples
ifeq ($(strip $(DESTDIR)),)
	$(Q)packaging/on-this-host installed '$(SYSUSERSDIR)/weir.conf'
endif

# Leaves /etc/weir, which is the administrator's, and what the agent has written. Stops nothing: it says what runs and what is enabled.
uninstall:
ifeq ($(strip $(DESTDIR)),)
	$(Q)packaging/on-this-host uninstall '$(PREFIX)'
endif
	$(Q)rm -f $(foreach file,$(ALONE),'$(DESTDIR)$(file)')
	$(Q)cd '$(DESTDIR)$(MANDIR)' && rm -f $(patsubst %,man1/%,$(notdir $(MAN1))) $(patsubst %,man5/%,$(notdir $(MAN5))) \
	  $(patsubst %,man8/%,$(notdir $(MAN8)))
	$(Q)rm -rf '$(DESTDIR)$(DATADIR)' '$(DESTDIR)$(DOCDIR)'
ifeq ($(strip $(DESTDIR)),)
	$(Q)packaging/on-this-host uninstalled
endif

# ------------------------------------------------------------------------------------------------------------- packages
# Built in a copy, so that nothing is left between the sources. DEB_O: objects that are there already are not compiled again.
DEB_O       ?= $(O)/deb/objects
DEB_VERSION ?= $(VERSION)-1
DEB_TREE     = $(O)/deb/weir
DEB_DATE     = $(shell date -R -u -d @$(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null),$(shell stat -c %Y VERSION)))
SOURCES      = Makefile VERSION $(DOCS) agent completion docs ebpf man packaging rules shim tools $(wildcard monitoring)
deb:
	$(Q)./install-packages build deb
	$(Q)rm -rf '$(DEB_TREE)' && mkdir -p '$(DEB_TREE)' '$(DEB_O)'
	$(Q)cp -a $(SOURCES) '$(DEB_TREE)' && cp -a packaging/debian '$(DEB_TREE)/debian'
	$(Q)sed 's/@VERSION@/$(DEB_VERSION)/; s/@DATE@/$(DEB_DATE)/' packaging/debian/changelog.in >'$(DEB_TREE)/debian/changelog'
	$(Q)+cd '$(DEB_TREE)' && WEIR_O='$(abspath $(DEB_O))' WEIR_DEST='$(abspath $(O))/deb' \
	  dpkg-buildpackage -b -us -uc -nc -d --buildinfo-option=-u'$(abspath $(O))/deb' --changes-option=-u'$(abspath $(O))/deb'
	@ls '$(abspath $(O))'/deb/weir_'$(DEB_VERSION)'_*.deb

# The RPM, where there is rpmbuild; on Debian its BuildRequires have other names, and are looked at by packaging/build-needs alone.
RPM_TOP = $(abspath $(O))/rpm
rpm:
	$(Q)rm -rf '$(RPM_TOP)' && mkdir -p '$(RPM_TOP)/SOURCES'
	$(Q)tar czf '$(RPM_TOP)/SOURCES/weir-$(VERSION).tar.gz' --transform 's|^|weir-$(VERSION)/|' LICENSE $(SOURCES)
	$(Q)+rpmbuild -bb $(if $(wildcard /etc/debian_version),--nodeps) --define '_topdir $(RPM_TOP)' \
	  $(if $(RPM_O),--define 'weir_objects $(abspath $(RPM_O))') packaging/weir.spec
	@find '$(RPM_TOP)/RPMS' -name '*.rpm'
