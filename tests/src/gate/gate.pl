# `gate PORT SERVER FREE FOLDER [REFUSED]`: passes requests on to the server. Those that fetch or send a blob other than FREE
# wait until FOLDER/open is there; meanwhile FOLDER/waiting has a file of each, and FOLDER/seen a line of how many each found
# there. Manifests of media types that begin with REFUSED are refused, as by registries that don't know these.
use strict;
use IO::Socket::INET;
my ($port, $server, $free, $folder, $refused) = @ARGV;

sub wait_at_gate {
    my $own = "$folder/waiting/$$";
    open(my $file, ">", $own);
    my @waiting = glob "$folder/waiting/*";
    open(my $seen, ">>", "$folder/seen");
    syswrite $seen, @waiting . "\n";
    # Half a minute at most: a test that fails doesn't hang.
    for (1 .. 3000) {
        last if -e "$folder/open" || !-d $folder;
        select(undef, undef, undef, 0.01);
    }
    unlink $own;
}

# Copies so many bytes, or all.
sub copy {
    my ($from, $to, $left) = @_;
    while (!defined $left || $left > 0) {
        my $count = read($from, my $bytes, defined $left && $left < 65536 ? $left : 65536) or last;
        print $to $bytes;
        $left -= $count if defined $left;
    }
}

# Copies chunks, whose lengths come before them, until one has none.
sub copy_chunks {
    my ($from, $to) = @_;
    while (defined(my $size = <$from>)) {
        print $to $size;
        my $length = hex($size =~ /^([0-9a-f]+)/i ? $1 : 0);
        # And the end of its line.
        copy($from, $to, $length + 2);
        last unless $length;
    }
}

# Takes a request's body, and answers that it is no manifest.
sub refuse {
    my ($client, $length) = @_;
    open(my $nowhere, ">", "/dev/null");
    copy($client, $nowhere, $length);
    my $said = '{"errors":[{"code":"MANIFEST_INVALID","message":"manifest invalid","detail":{}}]}';
    print $client "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n";
    print $client "Content-Length: ", length $said, "\r\n\r\n$said";
}

# One request for each connection: what the server answers ends with its own.
sub pass_on {
    my $client = shift;
    # TLS comes first and isn't spoken here.
    read($client, my $head, 1);
    return unless ($head // "") =~ /[A-Z]/;
    while (defined(my $line = <$client>)) {
        last if $line eq "\r\n";
        $head .= $line unless $line =~ /^connection:/i;
    }
    my ($request) = split /\r\n/, $head;
    my $length = $head =~ /^content-length: *(\d+)/im ? $1 : 0;
    my $is_manifest = $request =~ m{^PUT \S*/manifests/};
    return refuse($client, $length) if $refused && $is_manifest && $head =~ m{^content-type: *\Q$refused\E}im;
    wait_at_gate() if $request =~ m{^(GET|PUT) \S*/blobs/} && $request !~ /sha256(:|%3A)$free/;
    my $to = IO::Socket::INET->new(PeerAddr => $server) or die "connect: $!";
    print $to "${head}Connection: close\r\n\r\n";
    copy($client, $to, $length);
    copy_chunks($client, $to) if $head =~ /^transfer-encoding: *chunked/im;
    $to->flush;
    copy($to, $client);
}

$SIG{CHLD} = "IGNORE";
$free =~ s/^sha256://;
my $gate = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port", Listen => 99, ReuseAddr => 1) or die "listen: $!";
while (1) {
    my $client = $gate->accept or next;
    defined(my $child = fork) or die "fork: $!";
    next if $child;
    pass_on($client);
    exit;
}
