//! Tests of the labels: what is read, what is refused and in which words.

use super::*;

fn known() -> Labels {
    Labels::parse(b"n1\ttench, Tinca tinca\nn2\tcrane\nn3\tcrane\n").expect("labels")
}

fn classes(text: &str) -> Result<Vec<(String, u32)>, String> {
    let listed = lines(text.as_bytes(), Path::new("labels.csv"), &known())
        .map_err(|error| error.to_string())?;
    Ok(listed.into_iter().map(|Listed { file, class, .. }| (file.into(), class)).collect())
}

#[test]
fn labels_are_read_by_index_wnid_or_name_whatever_separates_them_and_stands_beside() {
    let want = Ok(vec![("a.png".to_owned(), 0), ("n2/b.png".to_owned(), 1)]);
    for text in [
        "file,class_index\na.png,0\nn2/b.png,1\n",
        "class_index,more,file\n0,x,a.png\n1,\"y, z\",n2/b.png\n",
        "file, class_index\n a.png , 0\nn2/b.png, 1\n",
        "\u{feff}file,wnid\r\na.png,n1\r\nn2/b.png,n2\r\n",
        "file;class_index\na.png;0\nn2/b.png;1\n",
        "file\tclass_index\na.png\t0\nn2/b.png\t1",
        "File,Class_Index\n./a.png,0\nn2/./b.png,1\n",
        "file,class_index,wnid,class_name\na.png,0,n1,tench\nn2/b.png,1,n2,crane\n",
    ] {
        assert_eq!(classes(text), want, "{text:?}");
    }
    assert_eq!(classes("file,class_name\na.png,TENCH\n"), Ok(vec![("a.png".to_owned(), 0)]));
}

#[test]
fn a_line_that_is_wrong_is_named_with_what_is_allowed() {
    for (text, said) in [
        (
            "file,class_index\na.png,3\n",
            "line 2: class_index \"3\": allowed are 0 to 2; is it counted from 1?",
        ),
        ("file,class_index\na.png,-1\n", "line 2: class_index \"-1\": allowed are 0 to 2"),
        ("file,class_index\na.png,\n", "line 2: class_index \"\": allowed are 0 to 2"),
        ("file,wnid\na.png,n1\nb.png,n9\n", "line 3: wnid \"n9\""),
        ("file,class_name\na.png,crane\n", "could be class 1 or 2"),
        (
            "file,class_index,wnid\na.png,1,n1\n",
            "line 2: class_index \"1\" and wnid \"n1\" are different classes, 1 and 0; is one counted",
        ),
        ("file,wnid\na.png,n1\n./a.png,n1\n", "line 3: file \"a.png\" is listed already in line 2"),
        (
            "file,wnid\n/etc/a.png,n1\n",
            "line 2: file \"/etc/a.png\": allowed is a path inside the folder of photos",
        ),
        ("file,wnid\n../a.png,n1\n", "allowed is a path inside the folder of photos"),
        ("file,wnid\n,n1\n", "line 2: file \"\""),
        ("file,wnid\na.png,n1,x\n", "line: 2"),
        ("name,wnid\na.png,n1\n", "line 1: a header with the column file"),
        ("name,wnid\na.png,n1\n", "found are \"name\", \"wnid\""),
        ("a.png,0\nb.png,1\n", "line 1: a header with the column file"),
        ("{\"a.png\": 0}\n", "line 1: this is JSON"),
        ("", "line 1: a header"),
        ("file,class_index\n", "no labels in it"),
    ] {
        let refused = classes(text).expect_err(said);
        assert!(refused.contains(said), "{refused}");
    }
    let refused = lines(b"file,wnid\n\xff.png,n1\n", Path::new("labels.csv"), &known())
        .expect_err("no text")
        .to_string();
    assert!(refused.contains("line 2: not UTF-8"), "{refused}");
}

#[test]
fn photos_are_found_by_table_or_folder_and_those_without_a_label_are_counted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("images/n2")).expect("made");
    for name in ["a.png", "b.png", "n2/c.png"] {
        std::fs::write(at("images").join(name), "").expect("written");
    }
    let ask = |text: &str| {
        std::fs::write(at("labels.csv"), text).expect("written");
        photos(&at("images"), Some(&at("labels.csv")), None, &known())
    };
    let (found, unlabelled) = ask("file,wnid\n./a.png,n1\n").expect("fine");
    assert_eq!((&*found[0].name, found[0].class, found.len(), unlabelled), ("a.png", 0, 1, 1));
    let refused = ask("file,wnid\nA.PNG,n1\n").expect_err("refused").to_string();
    assert!(
        refused.contains("line 2: file \"A.PNG\" is not in")
            && refused.contains("; there is \"a.png\""),
        "{refused}"
    );
    std::fs::write(at("images/caf\u{e9}.png"), "").expect("written");
    let refused = ask("file,wnid\ncafe\u{301}.png,n1\n").expect_err("refused").to_string();
    assert!(
        refused.contains(
            "; there is \"caf\u{e9}.png\", whose accents are written in other characters"
        ),
        "{refused}"
    );
    let (found, _) = photos(&at("images"), None, None, &known()).expect("folders");
    assert_eq!((&*found[0].name, found[0].class, found.len()), ("n2/c.png", 1, 1));
    std::fs::create_dir(at("images/dragon")).expect("made");
    assert!(
        photos(&at("images"), None, None, &known())
            .expect_err("refused")
            .to_string()
            .contains("dragon")
    );
}
