#!/bin/sh
# The demo's page: a container that looks at itself. busybox's httpd runs it for every request.
text() { sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g'; }
value() { read -r value 2>/dev/null < "$1" && [ -n "$value" ] || value="$2"; }
mebibytes() { case "$1" in *[!0-9]*|'') echo "$1" ;; *) echo "$(( ($1 + 524288) / 1048576 )) MiB" ;; esac; }
C=/sys/fs/cgroup
value $C/memory.max none; memory_max=$(mebibytes "$value")
value $C/memory.current 0; memory_now=$(mebibytes "$value")
value $C/pids.max none; pids_max=$value
value $C/pids.current 0; pids_now=$value
value $C/cpu.max none; cpu=$value
set -- $cpu
case "$1" in ''|max|none) cpu_max='no limit' ;; *) cpu_max="$(( $1 * 100 / $2 )) % of one CPU" ;; esac
value /proc/sys/kernel/hostname '?'; host=$value
value /proc/sys/kernel/osrelease '?'; kernel=$value
while read -r device place kind options rest; do
  [ "$place" = / ] && { root_kind=$kind; root_options=$options; break; }
done < /proc/self/mounts
peer=${REMOTE_ADDR:-?}; peer=${peer#[}; peer=${peer%]}; peer=${peer#::ffff:}
printf 'Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n\r\n'
cat /srv/head.html
cat <<EOF
<header>
  <p class="over">berth-demo</p>
  <h1>You are talking to a container.</h1>
  <p class="lead">This page was written a moment ago by a shell script, inside a container, inside a small virtual
  machine, on your computer. There is no box around it. A container is an <em>ordinary process</em> that the kernel
  shows a smaller world, and here that process looks at itself.</p>
  <dl class="facts">
    <div><dt>It is called</dt><dd>$host</dd></div>
    <div><dt>Its kernel</dt><dd>Linux $kernel</dd></div>
    <div><dt>You came from</dt><dd>$peer</dd></div>
  </dl>
</header>
<section>
  <h2><span>1</span>It sees only its own processes</h2>
  <p>The machine runs many. In here, counting begins anew: the program the container was started for has the number 1.
  When it ends, all of these end with it.</p>
  <table><thead><tr><th>PID</th><th>Parent</th><th>User</th><th>Program</th></tr></thead><tbody>
EOF
ps -o pid,ppid,user,args | text | { read -r _; while read -r pid parent user program; do
  echo "<tr><td>$pid</td><td>$parent</td><td>$user</td><td><code>$program</code></td></tr>"
done; }
cat <<EOF
  </tbody></table>
</section>
<section>
  <h2><span>2</span>Its world is made of namespaces</h2>
  <p>Each namespace is one kind of thing that is seen differently from in here. The kernel knows it by a number; two
  processes with the same number see the same. <code>ls -l /proc/self/ns</code> shows them on any Linux.</p>
  <ul class="grid">
EOF
meaning() {
  case "$1" in
    cgroup) echo 'which limits it can name' ;; ipc) echo 'shared memory and queues' ;;
    mnt) echo 'which files there are' ;; net) echo 'interfaces, addresses, ports' ;;
    pid) echo 'which processes there are' ;; time) echo 'when the machine started' ;;
    user) echo 'who is who' ;; uts) echo 'what the machine is called' ;;
  esac
}
ls -l /proc/self/ns | while read -r line; do
  case "$line" in *'->'*) ;; *) continue ;; esac
  target=${line##*-> }; name=${line% -> *}; name=${name##* }
  number=${target#*[}; number=${number%]}
  case "$name" in *_for_children) continue ;; esac
  echo "<li><b>$name</b><code>$number</code><small>$(meaning "$name")</small></li>"
done
cat <<EOF
  </ul>
</section>
<section>
  <h2><span>3</span>Its share is a control group</h2>
  <p>Namespaces say what it sees, the control group says what it gets. These limits came from
  <code>-m 128m --cpus 1 --pids-limit 64</code> on the command line; the kernel keeps them.</p>
  <ul class="grid three">
    <li><b>Memory</b><code>$memory_max</code><small>uses $memory_now; at the limit the kernel ends it</small></li>
    <li><b>CPU</b><code>$cpu_max</code><small>cpu.max is &ldquo;$cpu&rdquo;: microseconds per period</small></li>
    <li><b>Processes</b><code>$pids_max</code><small>has $pids_now; a fork bomb stops here</small></li>
  </ul>
</section>
<section>
  <h2><span>4</span>Its disk is a stack of layers</h2>
  <p>The root is an <code>$root_kind</code>: the layers of the image below, never written, shared by every container of
  it, and one thin writable layer on top that goes with the container.</p>
  <div class="stack"><div class="top">upper: what this container wrote</div>
EOF
echo "$root_options" | tr ',' '\n' | text | while IFS== read -r option layer; do
  case "$option" in lowerdir*) echo "<div>lower: <code>$layer</code></div>" ;; esac
done
cat <<EOF
  </div>
  <details><summary>Everything that is mounted in here</summary><pre>
EOF
text < /proc/self/mounts
cat <<EOF
</pre></details>
</section>
<section>
  <h2><span>5</span>How your click got here</h2>
  <p class="way"><b>localhost:8080</b><i></i><b>host daemon</b><i></i><b>vsock into the machine</b><i></i><b>bridge</b><i></i><b>port 80 in here</b></p>
  <p>Now change something: <code>target/berth/berth exec -it berth-demo sh</code> puts you inside. Write a file, look at
  <code>ps</code>, then reload this page.</p>
</section>
<footer>Rendered in the container at $(date -u '+%H:%M:%S UTC'). Stop it all with <code>cargo xtask demo --stop</code>.</footer>
</main></body></html>
EOF
